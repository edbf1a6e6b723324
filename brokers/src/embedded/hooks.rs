//! rmqtt's hooks: decide, and tell what happened.

use std::{net::IpAddr, sync::Weak};

use detector::input::Format;
use fleet::{
    event::{Action, Attribution, AuthFailure, Connect, DisconnectReason, EventKind},
    ids::ThingName,
};
use rmqtt::{
    codec::v5::SubscribeAckReason,
    hook::{Handler, HookResult, Parameter, ReturnType},
    types::{
        AuthResult, ConnectInfo, Disconnect, Id, Publish, PublishAclResult, Reason, Subscribe,
        SubscribeAclResult,
    },
};

use super::{
    Shared,
    access::{Login, Who},
    control,
    sessions::user_of,
};

/// One handler for all hooks. It holds the broker weakly, because the broker holds it.
#[derive(Clone)]
pub(super) struct Hooks {
    shared: Weak<Shared>,
    report_prefix: String,
    tell_reports: bool,
}

impl Hooks {
    pub(super) fn new(shared: Weak<Shared>, report_prefix: String, tell_reports: bool) -> Self {
        Self { shared, report_prefix, tell_reports }
    }
}

#[async_trait::async_trait]
impl Handler for Hooks {
    async fn hook(&self, parameter: &Parameter, before: Option<HookResult>) -> ReturnType {
        let Some(shared) = self.shared.upgrade() else { return (true, before) };
        match parameter {
            Parameter::ClientAuthenticate(info) => {
                answer(HookResult::AuthResult(authenticate(&shared, info)))
            }
            Parameter::ClientSubscribeCheckAcl(session, subscribe) => {
                match check_subscribe(&shared, &session.id, subscribe) {
                    Some(denied) => answer(HookResult::SubscribeAclResult(denied)),
                    None => (true, before),
                }
            }
            Parameter::MessagePublishCheckAcl(session, publish) => {
                answer(HookResult::PublishAclResult(self.check_publish(&shared, &session.id, publish)))
            }
            Parameter::ClientConnected(session) => {
                connected(&shared, &session.id);
                (true, before)
            }
            Parameter::ClientDisconnected(session, reason) => {
                disconnected(&shared, &session.id, reason);
                (true, before)
            }
            Parameter::MessageDelivered(session, _, publish) => {
                let (topic, bytes): (&str, _) = (&publish.topic, bytes_of(publish));
                tell(&shared, &session.id, |client| EventKind::Delivery { client, topic, bytes });
                (true, before)
            }
            Parameter::SessionSubscribed(session, subscribe) => {
                let filter: &str = &subscribe.topic_filter;
                tell(&shared, &session.id, |client| EventKind::Subscribe { client, filter });
                (true, before)
            }
            Parameter::SessionUnsubscribed(session, unsubscribe) => {
                let filter: &str = &unsubscribe.topic_filter;
                tell(&shared, &session.id, |client| EventKind::Unsubscribe { client, filter });
                (true, before)
            }
            _ => (true, before),
        }
    }
}

/// An answer that no other handler may change.
fn answer(result: HookResult) -> ReturnType {
    (false, Some(result))
}

fn who(id: &Id) -> Who<'_> {
    Who { client: &id.client_id, user: user_of(id) }
}

fn ip_of(id: &Id) -> Option<IpAddr> {
    id.remote_addr.map(|address| address.ip().to_canonical())
}

fn bytes_of(publish: &Publish) -> u32 {
    u32::try_from(publish.payload.len()).unwrap_or(u32::MAX)
}

/// Tells an event of a session, unless it is a service's.
fn tell<'a>(shared: &Shared, id: &'a Id, kind: impl FnOnce(&'a str) -> EventKind<'a>) {
    if !shared.access().is_service(user_of(id)) {
        shared.emitter.emit(kind(&id.client_id));
    }
}

fn authenticate(shared: &Shared, info: &ConnectInfo) -> AuthResult {
    let id = info.id();
    let password = info.password().map_or(&[][..], |password| password);
    let login = shared.access().login(who(id), password);
    let refusal = match login {
        Login::Device => return AuthResult::Allow(false, None),
        Login::Service => return AuthResult::Allow(true, None),
        Login::BadCredentials => AuthResult::BadUsernameOrPassword,
        Login::NotAllowed => AuthResult::NotAuthorized,
    };
    shared.emitter.emit(EventKind::AuthFailure(AuthFailure {
        claimed_client: Some(&id.client_id),
        claimed_user: user_of(id),
        ip: ip_of(id),
        // The broker itself held the connection: the address is certain, the device is not.
        attribution: Attribution::Address,
    }));
    refusal
}

fn connected(shared: &std::sync::Arc<Shared>, id: &Id) {
    if shared.access().is_service(user_of(id)) {
        return;
    }
    let client: &str = &id.client_id;
    let took_over = shared.sessions().begin(id);
    if took_over {
        shared.emitter.emit(EventKind::Disconnect { client, reason: DisconnectReason::Takeover, raw: "" });
    }
    let connect = Connect { client, user: user_of(id), ip: ip_of(id), bridge: false };
    shared.emitter.emit(EventKind::Connect(connect));
    // The quarantine may have come between the check of the password and this.
    if shared.access().is_quarantined(who(id)) {
        let (shared, id) = (shared.clone(), id.clone());
        tokio::spawn(async move { control::end_session(&shared, &id).await });
    }
}

fn disconnected(shared: &Shared, id: &Id, reason: &Reason) {
    if shared.sessions().end(id) {
        let raw = reason.to_string();
        let client: &str = &id.client_id;
        shared.emitter.emit(EventKind::Disconnect { client, reason: reason_of(reason), raw: &raw });
    }
}

fn check_subscribe(shared: &Shared, id: &Id, subscribe: &Subscribe) -> Option<SubscribeAclResult> {
    let filter: &str = &subscribe.topic_filter;
    if shared.access().may_subscribe(who(id), filter) {
        return None;
    }
    let client: &str = &id.client_id;
    shared.emitter.emit(EventKind::Denied { client, action: Action::Subscribe, topic: filter });
    Some(SubscribeAclResult::new_failure(SubscribeAckReason::NotAuthorized))
}

impl Hooks {
    fn check_publish(&self, shared: &Shared, id: &Id, publish: &Publish) -> PublishAclResult {
        let (client, topic): (&str, &str) = (&id.client_id, &publish.topic);
        if !shared.access().may_publish(who(id), topic) {
            shared.emitter.emit(EventKind::Denied { client, action: Action::Publish, topic });
            return PublishAclResult::rejected(false, None);
        }
        tell(shared, id, |client| EventKind::Publish { client, topic, bytes: bytes_of(publish) });
        if let (true, Some((thing, format))) = (self.tell_reports, self.report_topic(topic)) {
            shared.emitter.report(thing, format, &publish.payload);
        }
        PublishAclResult::allow()
    }

    /// Thing and format of `PREFIX THING/defender/metrics/{json,cbor}`.
    fn report_topic<'a>(&self, topic: &'a str) -> Option<(&'a str, Format)> {
        let rest = topic.strip_prefix(self.report_prefix.as_str())?;
        let (thing, format) = match rest.strip_suffix("/defender/metrics/json") {
            Some(thing) => (thing, Format::ReportJson),
            None => (rest.strip_suffix("/defender/metrics/cbor")?, Format::ReportCbor),
        };
        ThingName::check(thing).is_ok().then_some((thing, format))
    }
}

/// rmqtt collects reasons; the first that says something decides.
fn reason_of(reason: &Reason) -> DisconnectReason {
    match reason {
        Reason::Reasons(reasons) => {
            let known = reasons.iter().map(reason_of).find(|reason| *reason != DisconnectReason::Unknown);
            known.unwrap_or(DisconnectReason::Unknown)
        }
        Reason::ConnectDisconnect(Some(Disconnect::V3 | Disconnect::V5(_))) => DisconnectReason::Clean,
        Reason::ConnectRemoteClose | Reason::ConnectReadWriteTimeout | Reason::ConnectReadWriteError => {
            DisconnectReason::Unclean
        }
        Reason::ConnectKeepaliveTimeout => DisconnectReason::Timeout,
        Reason::ConnectKicked(true) => DisconnectReason::Kicked,
        Reason::ConnectKicked(false) => DisconnectReason::Takeover,
        Reason::ProtocolError(_) | Reason::MqttError(_) => DisconnectReason::Protocol,
        _ => DisconnectReason::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons() {
        let cases = [
            (Reason::Unknown, DisconnectReason::Unknown),
            (Reason::ConnectDisconnect(None), DisconnectReason::Unknown),
            (Reason::ConnectDisconnect(Some(Disconnect::V3)), DisconnectReason::Clean),
            (Reason::ConnectKicked(true), DisconnectReason::Kicked),
            (Reason::ConnectKicked(false), DisconnectReason::Takeover),
            (Reason::Reasons(vec![]), DisconnectReason::Unknown),
            (Reason::Reasons(vec![Reason::Unknown, Reason::ConnectRemoteClose]), DisconnectReason::Unclean),
        ];
        for (reason, expected) in cases {
            assert_eq!(reason_of(&reason), expected, "{reason:?}");
        }
    }

    #[test]
    fn report_topics() {
        let hooks = Hooks::new(Weak::new(), "$aws/things/".to_owned(), true);
        let cases = [
            ("$aws/things/pump/defender/metrics/json", Some(("pump", Format::ReportJson))),
            ("$aws/things/pump/defender/metrics/cbor", Some(("pump", Format::ReportCbor))),
            ("$aws/things//defender/metrics/json", None),
            ("$aws/things/pump/defender/metrics/json/accepted", None),
            ("things/pump/defender/metrics/json", None),
        ];
        for (topic, expected) in cases {
            assert_eq!(hooks.report_topic(topic), expected, "{topic}");
        }
    }
}
