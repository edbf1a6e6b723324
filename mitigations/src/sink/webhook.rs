//! Alerts as signed HTTP POST requests.

use std::{path::PathBuf, time::Duration};

use fleet::{secret::Secret, time::Timestamp};
use hmac::{Hmac, Mac};
use reqwest::{Client, StatusCode, Url, header, redirect};
use serde::Deserialize;
use sha2::Sha256;

use super::{DeliveryError, KeyError, Sink, is_loopback, render, tls};
use crate::{
    alert::Alert,
    control::BoxFuture,
    secret::{SecretReader, SecretRef},
    task::hex,
};

/// Header with the alert's id: a receiver that saw it before can drop the request.
pub const ID_HEADER: &str = "x-fleetward-id";
/// Header with `t=UNIX_SECONDS,v1=HEX`: HMAC-SHA256 over `UNIX_SECONDS.BODY`. A receiver
/// recomputes it, compares in constant time, and refuses old times.
pub const SIGNATURE_HEADER: &str = "x-fleetward-signature";

/// Longest pause that a receiver can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// `[alerts.webhook.NAME]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookOptions {
    /// Where to send to: https, or http on this machine.
    pub url: String,
    /// Body.
    #[serde(default)]
    pub format: WebhookFormat,
    /// Secret for the signature; without one, requests are not signed.
    #[serde(default)]
    pub secret: Option<SecretRef>,
    /// Also send notices about responses. Never sent in the `aws` format.
    #[serde(default = "yes")]
    pub notices: bool,
    /// Send every alarm by itself, also those that an incident tells of. Always so in the `aws`
    /// format, which knows no incidents.
    #[serde(default)]
    pub each_alarm: bool,
    /// Longest time for one request, in seconds.
    #[serde(default = "ten")]
    pub timeout_secs: u32,
    /// PEM file of the only CAs to trust; without it, the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Allow http to other machines: alerts can then be read and changed on the way.
    #[serde(default)]
    pub allow_plain_http: bool,
}

/// Body of a webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookFormat {
    /// [`render::fleetward_json`]
    #[default]
    Fleetward,
    /// [`render::aws_json`]
    Aws,
}

const fn yes() -> bool {
    true
}

const fn ten() -> u32 {
    10
}

/// A webhook. Its `Debug` shows the host only, since a path may hold a token.
pub struct Webhook {
    name: String,
    url: Url,
    format: WebhookFormat,
    notices: bool,
    each_alarm: bool,
    secret: Option<Secret>,
    client: Client,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook")
            .field("name", &self.name)
            .field("host", &self.url.host_str().unwrap_or_default())
            .finish_non_exhaustive()
    }
}

impl Webhook {
    pub(super) fn build(
        name: &str,
        options: &WebhookOptions,
        secrets: SecretReader<'_>,
    ) -> Result<Self, KeyError> {
        let url = checked_url(options)?;
        if !(1..=300).contains(&options.timeout_secs) {
            let message = format!("found {}; allowed are 1 to 300 seconds", options.timeout_secs);
            return Err(KeyError::new("timeout_secs", message));
        }
        let secret = options.secret.as_ref().map(secrets).transpose();
        let secret = secret.map_err(|message| KeyError::new("secret", message))?;
        if secret.as_ref().is_some_and(|secret| secret.expose().len() < 16) {
            return Err(KeyError::new("secret", "the secret is shorter than 16 bytes; use a longer one"));
        }
        let timeout = Duration::from_secs(options.timeout_secs.into());
        let client = Client::builder()
            .tls_backend_preconfigured(tls::client_config(options.ca_file.as_deref())?)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(timeout)
            .timeout(timeout)
            .user_agent(concat!("fleetward/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| KeyError::new("url", chain(&error.without_url())))?;
        let (format, notices) = (options.format, options.notices);
        let each_alarm = options.each_alarm || format == WebhookFormat::Aws;
        Ok(Self { name: name.to_owned(), url, format, notices, each_alarm, secret, client })
    }

    async fn post(&self, alert: &Alert, now: Timestamp) -> Result<(), DeliveryError> {
        let body = match self.format {
            WebhookFormat::Fleetward => render::fleetward_json(alert).to_string(),
            WebhookFormat::Aws => render::aws_json(alert).unwrap_or_default().to_string(),
        };
        let mut request = self
            .client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(ID_HEADER, header_value(alert.id()));
        if let Some(secret) = &self.secret {
            request = request.header(SIGNATURE_HEADER, signature(secret, now, &body));
        }
        let response = request
            .body(body)
            .send()
            .await
            .map_err(|error| DeliveryError::retry(chain(&error.without_url())))?;
        verdict(response.status(), response.headers(), now)
    }
}

impl Sink for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn wants(&self, alert: &Alert) -> bool {
        match alert {
            Alert::Alarm(_) => self.each_alarm || !alert.is_gathered(),
            Alert::Incident(_) => self.format == WebhookFormat::Fleetward,
            Alert::Notice(_) | Alert::Coverage(_) => self.notices && self.format == WebhookFormat::Fleetward,
        }
    }

    fn deliver<'a>(&'a self, alert: &'a Alert, now: Timestamp) -> BoxFuture<'a, Result<(), DeliveryError>> {
        Box::pin(self.post(alert, now))
    }
}

/// The URL, if it keeps alerts secret on the way. The message never repeats the URL, whose
/// path may hold a token.
fn checked_url(options: &WebhookOptions) -> Result<Url, KeyError> {
    let url = Url::parse(&options.url)
        .map_err(|error| KeyError::new("url", format!("not a URL: {error}; expected https://HOST/PATH")))?;
    let Some(host) = url.host_str() else {
        return Err(KeyError::new("url", "names no host; expected https://HOST/PATH"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(KeyError::new("url", "holds a user name or password; expected a URL without"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(host) || options.allow_plain_http => Ok(url),
        "http" => Err(KeyError::new(
            "url",
            format!("http to `{host}` can be read on the way; use https, or set allow_plain_http = true"),
        )),
        other => Err(KeyError::new("url", format!("found the scheme `{other}`; allowed are https and http"))),
    }
}

/// `t=UNIX_SECONDS,v1=HEX`
#[must_use]
pub fn signature(secret: &Secret, now: Timestamp, body: &str) -> String {
    let unix = now.secs();
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("any key length");
    mac.update(format!("{unix}.").as_bytes());
    mac.update(body.as_bytes());
    format!("t={unix},v1={}", hex(&mac.finalize().into_bytes()))
}

/// Ids are ours and plain ASCII; should one not be, it is still a valid header.
fn header_value(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
}

/// 2xx is delivered. What is wrong with this message itself is refused for good; all else
/// may be mended at the other end, wrong addresses and credentials included.
fn verdict(status: StatusCode, headers: &header::HeaderMap, now: Timestamp) -> Result<(), DeliveryError> {
    let code = status.as_u16();
    if status.is_success() {
        return Ok(());
    }
    if matches!(code, 400 | 413 | 414 | 415 | 422) {
        return Err(DeliveryError::Refused { reason: format!("the receiver answered {code}") });
    }
    let more = if status.is_redirection() { "; redirects are not followed" } else { "" };
    let after = matches!(code, 429 | 503).then(|| retry_after(headers, now)).flatten();
    Err(DeliveryError::Retry { reason: format!("the receiver answered {code}{more}"), after })
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3), bounded.
fn retry_after(headers: &header::HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let after = match text.parse::<u64>() {
        Ok(secs) => Duration::from_secs(secs),
        Err(_) => {
            let date =
                time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc2822).ok()?;
            let millis = date.unix_timestamp().saturating_mul(1000).saturating_sub(now.millis());
            Duration::from_millis(u64::try_from(millis).unwrap_or_default())
        }
    };
    Some(after.min(RETRY_AFTER_MAX))
}

/// An error with its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.take(6).map(ToString::to_string).collect();
    render::one_line(&texts.join(": "), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(toml: &str) -> Result<Webhook, String> {
        let options: WebhookOptions = toml::from_str(toml).unwrap();
        let secrets = |at: &SecretRef| match at {
            SecretRef::Env(name) => Ok(Secret::new(name)),
            SecretRef::File(_) => Err(format!("{at} cannot be read: no such file")),
        };
        Webhook::build("ops", &options, &secrets).map_err(|error| format!("{}: {}", error.key, error.message))
    }

    #[test]
    fn only_safe_urls_are_taken_and_tokens_are_not_shown() {
        let cases = [
            (r#"url = "https://example.org/T0KEN""#, ""),
            (r#"url = "http://127.0.0.1:1/x""#, ""),
            (r#"url = "http://[::1]/""#, ""),
            (r#"url = "http://localhost/""#, ""),
            ("url = \"http://example.org/T0KEN\"\nallow_plain_http = true", ""),
            (
                r#"url = "http://example.org/T0KEN""#,
                "url: http to `example.org` can be read on the way; use https, or set allow_plain_http = true",
            ),
            (
                r#"url = "http://127.0.0.1.example.org/""#,
                "url: http to `127.0.0.1.example.org` can be read on the way; use https, or set allow_plain_http = true",
            ),
            (r#"url = "ftp://example.org/""#, "url: found the scheme `ftp`; allowed are https and http"),
            (
                r#"url = "example.org""#,
                "url: not a URL: relative URL without a base; expected https://HOST/PATH",
            ),
            (
                r#"url = "https://u:p@example.org""#,
                "url: holds a user name or password; expected a URL without",
            ),
            (
                "url = \"https://e.org\"\ntimeout_secs = 0",
                "timeout_secs: found 0; allowed are 1 to 300 seconds",
            ),
            (
                "url = \"https://e.org\"\nsecret = { env = \"short\" }",
                "secret: the secret is shorter than 16 bytes; use a longer one",
            ),
            (
                "url = \"https://e.org\"\nsecret = { file = \"/s\" }",
                "secret: the file `/s` cannot be read: no such file",
            ),
        ];
        for (toml, message) in cases {
            match build(toml) {
                Ok(webhook) => {
                    assert_eq!(message, "", "{toml}");
                    assert!(!format!("{webhook:?}").contains("T0KEN"));
                }
                Err(error) => assert_eq!(error, message, "{toml}"),
            }
        }
    }

    #[test]
    fn gathered_alarms_go_only_to_those_who_take_every_alarm() {
        use crate::{
            alarm::tests::alarm,
            alert::{of_alarm_in, of_coverage},
            incident::{How, Taken},
        };
        let of =
            |how| of_alarm_in(&alarm("a", 1), vec![], Taken { incident: Some("i".into()), how }).unwrap();
        let coverage = of_coverage(&[], &[], Timestamp::default());
        let cases = [
            ("", [true, false, true]),
            ("each_alarm = true", [true, true, true]),
            ("notices = false", [true, false, false]),
            ("format = \"aws\"", [true, true, false]),
        ];
        for (more, wanted) in cases {
            let webhook = build(&format!("url = \"https://e.org\"\n{more}")).unwrap();
            let wants =
                [of(How::Singly), of(How::Gathered), coverage.clone()].map(|alert| webhook.wants(&alert));
            assert_eq!(wants, wanted, "{more}");
        }
    }

    /// Computed with `openssl dgst -sha256 -hmac 'a secret of 16 b'`.
    #[test]
    fn the_signature_is_hmac_sha256_over_time_and_body() {
        let secret = Secret::new("a secret of 16 b");
        let signed = signature(&secret, Timestamp::from_millis(1_735_689_600_999), "{\"a\":1}");
        assert_eq!(
            signed,
            "t=1735689600,v1=bcbd7c98fcacb16a5d3d9110330e87e68d05c64c42f9e47920e7ac74187737e1"
        );
    }

    #[test]
    fn verdicts_tell_what_can_be_mended() {
        let now = Timestamp::from_secs(784_111_777);
        let with = |after: &str| {
            let mut headers = header::HeaderMap::new();
            headers.insert(header::RETRY_AFTER, after.parse().unwrap());
            headers
        };
        let retry = |code, headers: &header::HeaderMap| match verdict(
            StatusCode::from_u16(code).unwrap(),
            headers,
            now,
        ) {
            Err(DeliveryError::Retry { after, .. }) => Some(after.map(|after| after.as_secs())),
            _ => None,
        };
        let none = header::HeaderMap::new();
        assert_eq!(verdict(StatusCode::NO_CONTENT, &none, now), Ok(()));
        for code in [301, 401, 403, 404, 408, 410, 425, 500, 502, 504] {
            assert_eq!(retry(code, &with("7")), Some(None), "{code}");
        }
        for code in [400, 413, 415, 422] {
            assert_eq!(retry(code, &none), None, "{code}");
        }
        assert_eq!(retry(429, &with("7")), Some(Some(7)));
        assert_eq!(retry(503, &with("999999")), Some(Some(3600)));
        assert_eq!(retry(503, &with("Sun, 06 Nov 1994 08:49:47 GMT")), Some(Some(10)));
        assert_eq!(retry(503, &with("Sun, 06 Nov 1994 08:00:00 GMT")), Some(Some(0)));
        assert_eq!(retry(429, &with("soon")), Some(None));
    }
}
