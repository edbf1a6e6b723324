//! The acting side: quarantine on the embedded broker.

use std::sync::Arc;

use fleet::event::{DisconnectReason, EventKind};
use mitigations::control::{BoxFuture, Check, Control, ControlError, Subject, Undo};
use rmqtt::types::Id;
use serde::{Deserialize, Serialize};

use super::{
    Shared,
    access::{Login, Who},
};

/// Carries actions out on an [`EmbeddedBroker`](super::EmbeddedBroker).
#[derive(Clone, Debug)]
pub struct EmbeddedControl {
    shared: Arc<Shared>,
    name: String,
}

/// What undoing needs: the names that were not in quarantine before.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Before {
    free: Vec<String>,
}

impl EmbeddedControl {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let name = format!("embedded broker at {}", shared.address);
        Self { shared, name }
    }

    /// Names that a quarantine of the subject takes in.
    fn names(&self, subject: &Subject) -> Result<Vec<String>, ControlError> {
        let access = self.shared.access();
        if access.is_service(subject.principal.as_deref()) {
            return Err(ControlError::Refused(format!(
                "`{}` is a service of this broker, not a device; only devices can be quarantined",
                subject.principal.as_deref().unwrap_or_default()
            )));
        }
        let mut names: Vec<String> = [Some(subject.client_id.as_str()), subject.principal.as_deref()]
            .into_iter()
            .flatten()
            .filter(|name| access.is_device(name))
            .map(str::to_owned)
            .collect();
        names.dedup();
        match names.is_empty() {
            true => Err(ControlError::Unknown(format!("the device `{}`", subject.client_id))),
            false => Ok(names),
        }
    }

    fn checks(&self, subject: &Subject, live: bool) -> Vec<Check> {
        let who = Who { client: &subject.client_id, user: subject.principal.as_deref() };
        let access = self.shared.access();
        let login = access.login_with_right_password(who);
        let topic = format!("devices/{}/telemetry", subject.client_id);
        let filter = "fleet/#";
        let seen =
            |denied: bool, of: &str| format!("{} on `{of}`", if denied { "denied" } else { "allowed" });
        let (publish, subscribe) = (!access.may_publish(who, &topic), !access.may_subscribe(who, filter));
        vec![
            Check {
                what: "no session".to_owned(),
                held: !live,
                seen: if live { "a session is live" } else { "no session" }.to_owned(),
            },
            Check {
                what: "login refused".to_owned(),
                held: matches!(login, Login::NotAllowed | Login::BadCredentials),
                seen: match login {
                    Login::Device | Login::Service => "its right password is accepted",
                    Login::BadCredentials => "its password is refused",
                    Login::NotAllowed => "its right password is refused: not authorized",
                }
                .to_owned(),
            },
            Check { what: "publish denied".to_owned(), held: publish, seen: seen(publish, &topic) },
            Check { what: "subscribe denied".to_owned(), held: subscribe, seen: seen(subscribe, filter) },
        ]
    }

    /// Whether our own table or rmqtt's has a session of the subject.
    async fn is_live(&self, subject: &Subject) -> bool {
        if !self.shared.sessions().of(&subject.client_id, subject.principal.as_deref()).is_empty() {
            return true;
        }
        let id = Id::new(1, 0, None, None, subject.client_id.as_str().into(), None);
        self.shared.context.extends.shared().await.entry(id).is_connected().await
    }
}

impl Control for EmbeddedControl {
    fn name(&self) -> &str {
        &self.name
    }

    fn prepare<'a>(&'a self, subject: &'a Subject) -> BoxFuture<'a, Result<Undo, ControlError>> {
        Box::pin(async move {
            let mut free = self.names(subject)?;
            free.retain(|name| !self.shared.access().is_name_quarantined(name));
            let before = serde_json::to_value(Before { free });
            before.map(Undo).map_err(|error| ControlError::Refused(error.to_string()))
        })
    }

    fn quarantine<'a>(
        &'a self,
        subject: &'a Subject,
        _undo: &'a Undo,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            // Shut the door first: a session that is ended before could be opened again at once.
            for name in self.names(subject)? {
                self.shared.access().quarantine(&name);
            }
            let live = self.shared.sessions().of(&subject.client_id, subject.principal.as_deref());
            for id in live {
                end_session(&self.shared, &id).await;
            }
            Ok(())
        })
    }

    fn verify<'a>(
        &'a self,
        subject: &'a Subject,
        _undo: &'a Undo,
    ) -> BoxFuture<'a, Result<Vec<Check>, ControlError>> {
        Box::pin(async move {
            let live = self.is_live(subject).await;
            Ok(self.checks(subject, live))
        })
    }

    fn release<'a>(
        &'a self,
        subject: &'a Subject,
        undo: &'a Undo,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            let before: Before = serde_json::from_value(undo.0.clone()).map_err(|error| {
                ControlError::Refused(format!(
                    "the record for undoing the quarantine of `{}` cannot be read: {error}",
                    subject.thing
                ))
            })?;
            for name in before.free {
                self.shared.access().release(&name);
            }
            Ok(())
        })
    }
}

/// Ends a session and tells so, even if rmqtt has lost its connection already.
pub(super) async fn end_session(shared: &Shared, id: &Id) {
    let mut entry = shared.context.extends.shared().await.entry(id.clone());
    if let Err(error) = entry.kick(true, true, true).await {
        // It was ending by itself at that moment.
        tracing::debug!(client = %id.client_id, %error, "a session did not answer when it was ended");
    }
    if shared.sessions().end(id) {
        let client: &str = &id.client_id;
        shared.emitter.emit(EventKind::Disconnect { client, reason: DisconnectReason::Kicked, raw: "" });
    }
}
