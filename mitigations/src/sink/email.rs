//! Alerts as email, in text and HTML.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use fleet::time::Timestamp;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    address::Envelope,
    message::{Mailbox, MultiPart, header},
    transport::smtp::{
        Error as SmtpError,
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};
use serde::Deserialize;

use super::{DeliveryError, KeyError, Sink, is_loopback, render, tls, webhook::chain};
use crate::{
    alert::{self, Alert},
    control::BoxFuture,
    secret::{SecretReader, SecretRef},
};

/// Longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 200;
/// Most recipients of one sink.
const RECIPIENTS_MAX: usize = 50;

/// `[alerts.email.NAME]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailOptions {
    /// Mail server, host name or address.
    pub host: String,
    /// Its port; 587, 465 or 25 after `tls`.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: EmailTls,
    /// User name, if the server wants one.
    #[serde(default)]
    pub user: Option<String>,
    /// Password of `user`.
    #[serde(default)]
    pub password: Option<SecretRef>,
    /// Sender, such as `Fleetward <fleetward@example.org>`.
    pub from: String,
    /// Recipients, 1 to 50.
    pub to: Vec<String>,
    /// Also send notices about responses.
    #[serde(default = "yes")]
    pub notices: bool,
    /// Longest time for each answer of the server, in seconds.
    #[serde(default = "twenty")]
    pub timeout_secs: u32,
    /// PEM file of the only CAs to trust; without it, the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmailTls {
    /// STARTTLS; nothing is sent if the server does not offer it.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// Plain text; only to this machine.
    None,
}

const fn yes() -> bool {
    true
}

const fn twenty() -> u32 {
    20
}

/// An email sink. Its `Debug` shows no credentials.
pub struct Email {
    name: String,
    host: String,
    from: Mailbox,
    to: Vec<Mailbox>,
    notices: bool,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl std::fmt::Debug for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Email").field("name", &self.name).field("host", &self.host).finish_non_exhaustive()
    }
}

impl Email {
    pub(super) fn build(
        name: &str,
        options: &EmailOptions,
        secrets: SecretReader<'_>,
    ) -> Result<Self, KeyError> {
        if options.tls == EmailTls::None && !is_loopback(&options.host) {
            let message = format!(
                "plain text to `{}` can be read on the way; allowed are starttls and implicit",
                options.host
            );
            return Err(KeyError::new("tls", message));
        }
        if !(1..=300).contains(&options.timeout_secs) {
            let message = format!("found {}; allowed are 1 to 300 seconds", options.timeout_secs);
            return Err(KeyError::new("timeout_secs", message));
        }
        if !(1..=RECIPIENTS_MAX).contains(&options.to.len()) {
            let message = format!("found {} recipients; allowed are 1 to {RECIPIENTS_MAX}", options.to.len());
            return Err(KeyError::new("to", message));
        }
        let to = options.to.iter().map(|text| mailbox("to", text)).collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.to_owned(),
            host: options.host.clone(),
            from: mailbox("from", &options.from)?,
            to,
            notices: options.notices,
            transport: transport(options, secrets)?,
        })
    }

    fn message(&self, alert: &Alert, now: Timestamp) -> Result<Message, String> {
        let mut builder = Message::builder()
            .from(self.from.clone())
            .date(system_time(now))
            .subject(subject(alert))
            .message_id(Some(self.message_id(alert.id())))
            .raw_header(raw("Auto-Submitted", "auto-generated"))
            .raw_header(raw("X-Fleetward-Id", &ascii_id(alert.id())));
        if let Alert::Alarm(alarm) = alert {
            // Mail programs then show the alarm and its clearing as one conversation.
            builder = builder.references(self.message_id(&alarm.alarm.violation_id));
        }
        if let Alert::Incident(alert) = alert {
            builder = builder.references(self.message_id(&alert.incident.id));
        }
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        builder
            .multipart(MultiPart::alternative_plain_html(render::text(alert), render::html(alert)))
            .map_err(|error| chain(&error))
    }

    fn message_id(&self, id: &str) -> String {
        format!("<{}@{}>", ascii_id(id), self.from.email.domain())
    }

    async fn send(&self, alert: &Alert, now: Timestamp) -> Result<(), DeliveryError> {
        let message = self.message(alert, now).map_err(|reason| DeliveryError::Refused { reason })?;
        let (envelope, body) = (message.envelope().clone(), message.formatted());
        match self.transport.send_raw(&envelope, &body).await {
            Ok(_) => Ok(()),
            Err(error) if is_refusal(&error) && envelope.to().len() > 1 => {
                self.send_singly(&envelope, &body).await
            }
            Err(error) => Err(delivery_error(&error)),
        }
    }

    /// One refused recipient makes the server refuse the message to all: the others get it
    /// one by one. Delivered if anybody took it.
    async fn send_singly(&self, envelope: &Envelope, body: &[u8]) -> Result<(), DeliveryError> {
        let mut outcome = Err(DeliveryError::Refused { reason: "no recipient was accepted".into() });
        for to in envelope.to() {
            let sent = match single(envelope, to) {
                Ok(single) => {
                    self.transport.send_raw(&single, body).await.map_err(|error| delivery_error(&error))
                }
                Err(reason) => Err(DeliveryError::Refused { reason }),
            };
            match sent {
                Ok(_) => outcome = Ok(()),
                Err(error) => {
                    tracing::warn!(sink = %self.name, ?error, "a recipient was not reached");
                    // What may go through later is tried again unless somebody was reached.
                    if outcome.is_err() && matches!(error, DeliveryError::Retry { .. }) {
                        outcome = Err(error);
                    }
                }
            }
        }
        outcome
    }
}

impl Sink for Email {
    fn name(&self) -> &str {
        &self.name
    }

    fn wants(&self, alert: &Alert) -> bool {
        match alert {
            Alert::Alarm(_) | Alert::Incident(_) => !alert.is_gathered(),
            Alert::Notice(_) | Alert::Coverage(_) => self.notices,
        }
    }

    fn deliver<'a>(&'a self, alert: &'a Alert, now: Timestamp) -> BoxFuture<'a, Result<(), DeliveryError>> {
        Box::pin(self.send(alert, now))
    }
}

/// `[Fleetward] in-alarm: PROFILE/BEHAVIOR on THING`, on one line whatever the names hold.
#[must_use]
pub fn subject(alert: &Alert) -> String {
    format!("[Fleetward] {}", render::one_line(&alert::title(alert), SUBJECT_CHARS_MAX))
}

fn single(envelope: &Envelope, to: &Address) -> Result<Envelope, String> {
    Envelope::new(envelope.from().cloned(), vec![to.clone()]).map_err(|error| error.to_string())
}

fn mailbox(key: &'static str, text: &str) -> Result<Mailbox, KeyError> {
    text.parse().map_err(|error| {
        let shown = render::one_line(text, 100);
        KeyError::new(
            key,
            format!("`{shown}` is no mail address: {error}; expected NAME <USER@HOST> or USER@HOST"),
        )
    })
}

fn transport(
    options: &EmailOptions,
    secrets: SecretReader<'_>,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, KeyError> {
    let (tls, port) = match options.tls {
        EmailTls::Starttls => (Tls::Required(tls_parameters(options)?), 587),
        EmailTls::Implicit => (Tls::Wrapper(tls_parameters(options)?), 465),
        EmailTls::None => (Tls::None, 25),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(options.host.as_str())
        .tls(tls)
        .port(options.port.unwrap_or(port))
        .timeout(Some(Duration::from_secs(options.timeout_secs.into())));
    match (&options.user, &options.password) {
        (Some(user), Some(password)) => {
            let password = secrets(password).map_err(|message| KeyError::new("password", message))?;
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        (None, None) => {}
        (Some(_), None) => return Err(KeyError::new("password", "missing; expected one beside `user`")),
        (None, Some(_)) => return Err(KeyError::new("user", "missing; expected one beside `password`")),
    }
    Ok(builder.build())
}

fn tls_parameters(options: &EmailOptions) -> Result<TlsParameters, KeyError> {
    let mut builder = TlsParameters::builder(options.host.clone());
    if let Some(path) = &options.ca_file {
        builder = builder.certificate_store(CertificateStore::None);
        for certificate in tls::read_certificates(path)? {
            let certificate = Certificate::from_der(certificate.to_vec())
                .map_err(|error| KeyError::new("ca_file", chain(&error)))?;
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build_rustls().map_err(|error| KeyError::new("host", chain(&error)))
}

fn raw(name: &'static str, value: &str) -> header::HeaderValue {
    header::HeaderValue::new(header::HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// Ids are hex; should one not be, it still cannot end a header or a Message-ID.
fn ascii_id(id: &str) -> String {
    id.chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
        .collect()
}

fn system_time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.millis()).unwrap_or_default())
}

/// 5xx is final, except where it is about logging in: that can be mended in the configuration.
fn is_refusal(error: &SmtpError) -> bool {
    let code = error.status().map(u16::from);
    error.is_permanent() && !matches!(code, Some(530 | 534 | 535 | 538))
}

fn delivery_error(error: &SmtpError) -> DeliveryError {
    let reason = chain(error);
    if is_refusal(error) { DeliveryError::Refused { reason } } else { DeliveryError::retry(reason) }
}

#[cfg(test)]
mod tests {
    use fleet::secret::Secret;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        alarm::{Alarm, tests::alarm},
        alert::of_alarm,
    };

    fn build(toml: &str) -> Result<Email, String> {
        let options: EmailOptions = toml::from_str(toml).unwrap();
        Email::build("mail", &options, &|_| Ok(Secret::new("hunter2")))
            .map_err(|error| format!("{}: {}", error.key, error.message))
    }

    const GOOD: &str = "host = \"127.0.0.1\"\ntls = \"none\"\nfrom = \"Fleetward <f@example.org>\"\nto = [\"a@example.org\"]";

    #[test]
    fn wrong_options_are_named() {
        let cases = [
            (
                "host = \"mail.example.org\"\ntls = \"none\"\nfrom = \"f@e.org\"\nto = [\"a@e.org\"]",
                "tls: plain text to `mail.example.org` can be read on the way; allowed are starttls and implicit",
            ),
            (
                "host = \"h\"\nfrom = \"f\"\nto = [\"a@e.org\"]",
                "from: `f` is no mail address: Invalid input; expected NAME <USER@HOST> or USER@HOST",
            ),
            ("host = \"h\"\nfrom = \"f@e.org\"\nto = []", "to: found 0 recipients; allowed are 1 to 50"),
            (
                "host = \"h\"\nfrom = \"f@e.org\"\nto = [\"a@e.org\\r\\nBcc: x@e.org\"]",
                "to: `a@e.org\\u{d}\\u{a}Bcc: x@e.org` is no mail address: Invalid input; expected NAME <USER@HOST> or USER@HOST",
            ),
            (
                "host = \"h\"\nuser = \"u\"\nfrom = \"f@e.org\"\nto = [\"a@e.org\"]",
                "password: missing; expected one beside `user`",
            ),
            (
                "host = \"h\"\nca_file = \"/none\"\nfrom = \"f@e.org\"\nto = [\"a@e.org\"]",
                "ca_file: `/none` cannot be read: No such file or directory (os error 2)",
            ),
        ];
        for (toml, message) in cases {
            assert_eq!(build(toml).unwrap_err(), message, "{toml}");
        }
        let email = build(&format!("{GOOD}\nuser = \"u\"\npassword = {{ env = \"P\" }}")).unwrap();
        assert!(!format!("{email:?}").contains("hunter2"));
    }

    fn headers(alarm: &Alarm) -> Vec<String> {
        let alert = of_alarm(alarm, vec![]).unwrap();
        let message = build(GOOD).unwrap().message(&alert, Timestamp::from_secs(1)).unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
        head.split("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn the_message_has_a_stable_id_and_a_readable_subject() {
        let headers = headers(&alarm("pump-17", 5));
        assert!(
            headers.contains(&"Subject: [Fleetward] in-alarm: pumps/quiet on pump-17".into()),
            "{headers:#?}"
        );
        assert!(headers.contains(&"Message-ID: <pump-17-5-in@example.org>".into()), "{headers:#?}");
        assert!(headers.contains(&"Date: Thu, 01 Jan 1970 00:00:01 +0000".into()), "{headers:#?}");
        assert!(headers.contains(&"Auto-Submitted: auto-generated".into()), "{headers:#?}");
    }

    #[test]
    fn a_hostile_name_adds_no_header() {
        let plain = headers(&alarm("x", 5)).len();
        let hostile = headers(&alarm("x\r\nBcc: victim@example.org\r\n\r\nbody", 5));
        assert_eq!(hostile.len(), plain, "{hostile:#?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_name_adds_a_header(thing: String, id: String) {
            let plain = headers(&alarm("x", 5)).len();
            let hostile = Alarm { id, ..alarm(&thing, 5) };
            prop_assert_eq!(headers(&hostile).len(), plain);
        }
    }
}
