//! Commands that ask a running Fleetward through its local endpoint.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, bail};
use fleet::time::Timestamp;
use serde_json::Value;

use super::output;
use crate::config::settings::Settings;

/// File in the data folder that holds the bearer token.
pub const TOKEN_FILE: &str = "api-token";

/// A running Fleetward.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    listen: SocketAddr,
    token: String,
}

impl Client {
    /// For the Fleetward that runs with these settings.
    ///
    /// # Errors
    /// When the endpoint is switched off or the token cannot be read.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let Some(listen) = settings.api.listen else {
            bail!("the configuration switches the local endpoint off (`api.listen` is empty)");
        };
        let path = settings.data_dir.join(TOKEN_FILE);
        let token = std::fs::read_to_string(&path).with_context(|| {
            format!("cannot read `{}`; has `fleetward serve` run with this configuration?", path.display())
        })?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(35)).no_proxy().build()?;
        // Plain, since it is this machine that answers.
        let listen = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => {
                SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listen.port())
            }
            IpAddr::V6(ip) if ip.is_unspecified() => {
                SocketAddr::new(Ipv6Addr::LOCALHOST.into(), listen.port())
            }
            _ => listen,
        };
        Ok(Self { http, listen, token: token.trim().to_owned() })
    }

    /// `GET PATH`.
    ///
    /// # Errors
    /// When nothing answers, or the answer is an error.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(self.http.get(self.url(path))).await
    }

    /// `POST PATH`.
    ///
    /// # Errors
    /// When nothing answers, or the answer is an error.
    pub async fn post(&self, path: &str) -> anyhow::Result<Value> {
        self.send(self.http.post(self.url(path))).await
    }

    /// `PUT PATH` with a JSON body.
    ///
    /// # Errors
    /// When nothing answers, or the answer is an error.
    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.http.put(self.url(path)).header("content-type", "application/json");
        self.send(request.body(body.to_string())).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let response = request
            .bearer_auth(&self.token)
            .send()
            .await
            .with_context(|| format!("no Fleetward answers at {}; is it running?", self.listen))?;
        let status = response.status();
        let body = response.bytes().await.context("the answer broke off")?;
        let value: Value = serde_json::from_slice(&body).context("the answer is not JSON")?;
        if status.is_success() {
            return Ok(value);
        }
        bail!("{}", value.get("error").and_then(Value::as_str).unwrap_or(status.as_str()))
    }
}

/// A path segment with everything but letters, digits, `-` and `_` percent-encoded.
#[must_use]
pub fn encode_segment(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Prints a listing of objects as a table of the given members.
///
/// # Errors
/// When standard output fails.
pub fn print_listing(rows: &Value, columns: &[(&str, &str)], json: bool, empty: &str) -> std::io::Result<()> {
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    if json {
        return rows.iter().try_for_each(|row| output::line(&row.to_string()));
    }
    if rows.is_empty() {
        return output::line(empty);
    }
    let heading: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
    let cells =
        |row: &Value| columns.iter().map(|(_, pointer)| cell(pointer, row.pointer(pointer))).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::line(&output::table(&heading, &rows))
}

/// Times (members whose names end with `At`) as people read them, objects by their values.
fn cell(pointer: &str, value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => output::printable(text),
        Some(Value::Object(members)) => {
            members.values().map(|value| cell("", Some(value))).collect::<Vec<_>>().join(" ")
        }
        Some(Value::Number(millis)) if pointer.ends_with("At") => {
            millis.as_i64().map_or_else(|| millis.to_string(), |at| Timestamp::from_millis(at).to_string())
        }
        Some(other) => output::printable(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cannot_leave_their_place() {
        assert_eq!(encode_segment("a-1_B"), "a-1_B");
        assert_eq!(encode_segment("../x?y"), "%2E%2E%2Fx%3Fy");
    }
}
