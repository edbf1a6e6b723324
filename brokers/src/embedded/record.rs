//! Stand-in for `recorded::encode`.

use fleet::event::{Event, EventKind};
use serde_json::json;

pub(super) fn encode(event: &Event<'_>, out: &mut Vec<u8>) {
    let value = match event.kind {
        EventKind::Connect(c) => json!({"event":"connect","client":c.client,"user":c.user,"ip":c.ip}),
        EventKind::Disconnect { client, reason, raw } => {
            json!({"event":"disconnect","client":client,"reason":reason.name(),"raw":raw})
        }
        EventKind::AuthFailure(f) => json!({"event":"auth-failure","client":f.claimed_client,
            "user":f.claimed_user,"ip":f.ip,"attribution":f.attribution.name()}),
        EventKind::Denied { client, action, topic } => json!({"event":"denied","client":client,
            "action":format!("{action:?}").to_lowercase(),"topic":topic}),
        EventKind::Publish { client, topic, bytes } => {
            json!({"event":"publish","client":client,"topic":topic,"bytes":bytes})
        }
        EventKind::Delivery { client, topic, bytes } => {
            json!({"event":"delivery","client":client,"topic":topic,"bytes":bytes})
        }
        EventKind::Subscribe { client, filter } => {
            json!({"event":"subscribe","client":client,"filter":filter})
        }
        EventKind::Unsubscribe { client, filter } => {
            json!({"event":"unsubscribe","client":client,"filter":filter})
        }
        EventKind::BrokerStart => json!({"event":"broker-start"}),
        EventKind::BrokerStop => json!({"event":"broker-stop"}),
        _ => json!({"event":"other"}),
    };
    let mut value = value;
    if let Some(object) = value.as_object_mut() {
        object.insert("at".into(), event.at.millis().into());
    }
    out.extend_from_slice(value.to_string().as_bytes());
}
