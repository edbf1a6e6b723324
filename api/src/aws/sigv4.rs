//! Verification of AWS Signature Version 4 in the `Authorization` header.
//!
//! Source: AWS General Reference, "Signature Version 4 signing process": canonical request, string to
//! sign, signing key; and what was seen of boto3 (spec sheet `device-defender-api.md`, section 1): the
//! path is encoded twice and the hash of the body is not sent. Signatures in the query are not taken.

use axum::http::HeaderMap;
use fleet::{secret::Secret, time::Timestamp};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::{PrimitiveDateTime, macros::format_description};

use super::{fault::Fault, read};

/// How far a request's time may be from ours, either side: that of AWS.
pub const SKEW_MS_MAX: i64 = 5 * 60 * 1000;
/// Signed headers at most.
const HEADERS_MAX: usize = 64;
/// Headers that need not be signed although they begin with `x-amz`: proxies change them.
const UNSIGNED: [&str; 1] = ["x-amzn-trace-id"];

/// A request as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Method.
    pub method: &'a str,
    /// Path, as on the wire.
    pub path: &'a str,
    /// Query, as on the wire, without `?`.
    pub query: &'a str,
    /// Headers.
    pub headers: &'a HeaderMap,
    /// Body.
    pub body: &'a [u8],
}

/// What a request says of its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Access key.
    pub access_key: String,
    /// Day, `YYYYMMDD`.
    pub date: String,
    /// Region.
    pub region: String,
    /// Service, such as `iot`.
    pub service: String,
    signed: Vec<String>,
    signature: String,
}

fn incomplete(message: impl Into<String>) -> Fault {
    Fault::new("InvalidSignatureException", message)
}

impl Claim {
    /// Reads the `Authorization` header.
    ///
    /// # Errors
    /// `MissingAuthenticationTokenException` without one of this scheme, `InvalidSignatureException` for a malformed one.
    pub fn read(headers: &HeaderMap) -> Result<Self, Fault> {
        let sent = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let rest = sent.strip_prefix("AWS4-HMAC-SHA256").ok_or_else(|| {
            let message =
                "expected a request signed with AWS Signature Version 4, or `Authorization: Bearer TOKEN`";
            Fault::new("MissingAuthenticationTokenException", message)
        })?;
        let part = |name: &str| {
            let found =
                rest.split(',').filter_map(|part| part.trim().split_once('=')).find(|(key, _)| *key == name);
            let missing = || incomplete(format!("`Authorization` lacks `{name}`"));
            found.map(|(_, value)| value.to_owned()).ok_or_else(missing)
        };
        let credential = part("Credential")?;
        let mut scope = credential.rsplitn(5, '/');
        let (Some("aws4_request"), Some(service), Some(region), Some(date), Some(access_key)) =
            (scope.next(), scope.next(), scope.next(), scope.next(), scope.next())
        else {
            return Err(incomplete("`Credential` is not `KEY/YYYYMMDD/REGION/SERVICE/aws4_request`"));
        };
        let signed: Vec<String> = part("SignedHeaders")?.split(';').map(str::to_owned).collect();
        if signed.len() > HEADERS_MAX || !signed.is_sorted() {
            return Err(incomplete(format!("`SignedHeaders` must be in order and at most {HEADERS_MAX}")));
        }
        Ok(Self {
            access_key: access_key.into(),
            date: date.into(),
            region: region.into(),
            service: service.into(),
            signature: part("Signature")?,
            signed,
        })
    }

    /// Whether the signature is that of this request with this secret, and of our time.
    ///
    /// # Errors
    /// `InvalidSignatureException`, which says what is wrong but not what would be right.
    pub fn verify(&self, request: Request<'_>, secret: &Secret, now: Timestamp) -> Result<(), Fault> {
        let stamp = self.stamp(request.headers, now)?;
        self.check_headers(request.headers)?;
        let body = hex(&Sha256::digest(request.body));
        if let Some(claimed) = request.headers.get("x-amz-content-sha256")
            && claimed.as_bytes() != body.as_bytes()
        {
            return Err(incomplete("`X-Amz-Content-SHA256` is not the hash of the body"));
        }
        let canonical = self.canonical(request, &body)?;
        let scope = format!("{}/{}/{}/aws4_request", self.date, self.region, self.service);
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let key = [self.region.as_str(), &self.service, "aws4_request", &to_sign]
            .iter()
            .fold(mac(format!("AWS4{}", secret.expose()).as_bytes(), &self.date), |key, text| {
                mac(&key, text)
            });
        if bool::from(hex(&key).as_bytes().ct_eq(self.signature.as_bytes())) {
            return Ok(());
        }
        Err(incomplete("the signature does not match; check the secret access key and the signing method"))
    }

    /// The time of signing as it is written, if it is near ours and of the scope's day.
    fn stamp(&self, headers: &HeaderMap, now: Timestamp) -> Result<String, Fault> {
        let stamp = headers.get("x-amz-date").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let form = format_description!("[year][month][day]T[hour][minute][second]Z");
        let at = PrimitiveDateTime::parse(stamp, form)
            .map_err(|_| incomplete("`X-Amz-Date` is not of the form `YYYYMMDDTHHMMSSZ`"))?;
        if stamp.split_once('T').is_none_or(|(day, _)| day != self.date) {
            return Err(incomplete("the day of `Credential` is not that of `X-Amz-Date`"));
        }
        let away = now.millis_since(Timestamp::from_secs(at.assume_utc().unix_timestamp()));
        if away > SKEW_MS_MAX {
            return Err(incomplete(format!(
                "Signature expired: it was made {} s ago; check the clocks",
                away / 1000
            )));
        }
        if away < -SKEW_MS_MAX {
            return Err(incomplete(format!(
                "Signature not yet current: it is {} s ahead; check the clocks",
                -away / 1000
            )));
        }
        Ok(stamp.to_owned())
    }

    /// What decides must be signed: the host, and every header of AWS.
    fn check_headers(&self, headers: &HeaderMap) -> Result<(), Fault> {
        let must = headers.keys().map(axum::http::HeaderName::as_str);
        let must = must.filter(|name| name.starts_with("x-amz") && !UNSIGNED.contains(name));
        match must.chain(["host"]).find(|name| !self.signed.iter().any(|signed| signed == name)) {
            Some(name) => Err(incomplete(format!("the header `{name}` is not signed"))),
            None => Ok(()),
        }
    }

    fn canonical(&self, request: Request<'_>, body: &str) -> Result<String, Fault> {
        let mut query: Vec<(String, String)> =
            read::pairs(request.query)?.iter().map(|(name, value)| (encode(name), encode(value))).collect();
        query.sort();
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut text = format!("{}\n{}\n{}\n", request.method, path(request.path), query.join("&"));
        for name in &self.signed {
            let values: Result<Vec<String>, _> =
                request.headers.get_all(name).iter().map(|value| value.to_str().map(collapse)).collect();
            let values = values.map_err(|_| incomplete(format!("the header `{name}` is not ASCII")))?;
            if values.is_empty() {
                return Err(incomplete(format!("the signed header `{name}` is missing")));
            }
            text.push_str(&format!("{name}:{}\n", values.join(",")));
        }
        text.push_str(&format!("\n{}\n{body}", self.signed.join(";")));
        Ok(text)
    }
}

/// The path without `.`, `..` and empty segments (RFC 3986, section 5.2.4), encoded once more.
fn path(path: &str) -> String {
    let mut kept = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(encode(other)),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

/// Spaces around are dropped and those within made one.
fn collapse(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    /// Requests that botocore 1.44.8 signed on 2026-01-02T03:04:05Z for `iot` in `eu-west-1`.
    const VECTORS: &str = include_str!("sigv4_vectors.json");
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const SIGNED_AT: Timestamp = Timestamp::from_secs(1_767_323_045);

    #[derive(Clone, Deserialize)]
    struct Vector {
        method: String,
        path: String,
        query: String,
        headers: BTreeMap<String, String>,
        body: String,
    }

    impl Vector {
        fn all() -> Vec<Self> {
            serde_json::from_str(VECTORS).unwrap()
        }

        fn verify(&self, secret: &str, now: Timestamp) -> Result<(), Fault> {
            let mut headers = HeaderMap::new();
            for (name, value) in &self.headers {
                headers.insert(axum::http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
            }
            let claim = Claim::read(&headers)?;
            assert_eq!((claim.access_key.as_str(), claim.region.as_str()), ("AKIDEXAMPLE", "eu-west-1"));
            let body = self.body.as_bytes();
            let request = Request {
                method: &self.method,
                path: &self.path,
                query: &self.query,
                headers: &headers,
                body,
            };
            claim.verify(request, &Secret::new(secret), now)
        }
    }

    #[test]
    fn what_the_reference_signs_is_accepted() {
        for vector in Vector::all() {
            assert_eq!(vector.verify(SECRET, SIGNED_AT), Ok(()), "{} {}", vector.method, vector.path);
        }
    }

    #[test]
    fn the_clock_may_be_five_minutes_off_either_side() {
        let vector = &Vector::all()[0];
        for (away, expected) in
            [(0, ""), (300_000, ""), (-300_000, ""), (300_001, "expired"), (-300_001, "not yet current")]
        {
            let message = vector.verify(SECRET, SIGNED_AT.plus_millis(away)).err().map(|fault| fault.message);
            assert!(message.clone().unwrap_or_default().contains(expected), "{away}: {message:?}");
            assert_eq!(message.is_none(), expected.is_empty(), "{away}");
        }
    }

    #[test]
    fn nothing_that_is_signed_can_be_changed() {
        let post = Vector::all().into_iter().find(|vector| vector.method == "POST").unwrap();
        let mut changed = vec![post.clone(); 6];
        changed[0].method = "PUT".into();
        changed[1].path = "/things/pump-2".into();
        changed[2].query = "a=1".into();
        changed[3].body.push(' ');
        changed[4].headers.insert("host".into(), "other".into());
        changed[5].headers.insert("x-amzn-principal".into(), "unsigned".into());
        for (index, vector) in changed.iter().enumerate() {
            assert_eq!(
                vector.verify(SECRET, SIGNED_AT).unwrap_err().kind,
                "InvalidSignatureException",
                "{index}"
            );
        }
        assert!(post.verify("other", SIGNED_AT).is_err());
    }

    #[test]
    fn malformed_headers_are_refused_with_what_is_expected() {
        let cases = [
            ("", "MissingAuthenticationTokenException"),
            ("Bearer x", "MissingAuthenticationTokenException"),
            ("AWS4-HMAC-SHA256", "InvalidSignatureException"),
            (
                "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=00",
                "InvalidSignatureException",
            ),
            (
                "AWS4-HMAC-SHA256 Credential=a/20260102/r/iot/aws4_request, SignedHeaders=x;host, Signature=00",
                "InvalidSignatureException",
            ),
            (
                "AWS4-HMAC-SHA256 Credential=a/20260102/r/iot/aws4_request, Signature=00",
                "InvalidSignatureException",
            ),
        ];
        for (value, kind) in cases {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", value.parse().unwrap());
            assert_eq!(Claim::read(&headers).unwrap_err().kind, kind, "{value}");
        }
    }
}
