//! Whether the log shows who connects and who is refused (`broker-integration.md`, section 2.1).

use super::{
    super::{note::Notes, rule::LOGGING_DISABLED_CHECK},
    conf::Setting,
    model::{Broker, last},
    told,
};

pub(super) fn audit(broker: &Broker, notes: &mut Notes) {
    let of = |key: &'static str| broker.global.iter().filter(move |setting| setting.key == key);
    if let Some(setting) = of("log_dest").find(|setting| setting.value == "none") {
        told(notes, &LOGGING_DISABLED_CHECK, &setting.at(), "`log_dest none` switches the log off".into());
    }
    if let Some(setting) =
        last(&broker.global, "connection_messages").filter(|setting| setting.flag() == Some(false))
    {
        let reason = "`connection_messages false` hides connects, disconnects and refused logins".to_owned();
        told(notes, &LOGGING_DISABLED_CHECK, &setting.at(), reason);
    }
    if let Some(setting) = of("log_type").find(|setting| setting.value == "none") {
        return told(
            notes,
            &LOGGING_DISABLED_CHECK,
            &setting.at(),
            "`log_type none` switches the log off".into(),
        );
    }
    let has =
        |name: &str| of("log_type").any(|setting: &Setting| setting.value == name || setting.value == "all");
    if let Some(first) = of("log_type").next() {
        let missing: Vec<&str> = ["error", "notice"].into_iter().filter(|name| !has(name)).collect();
        if !missing.is_empty() {
            let reason = format!("`log_type` leaves out `{}`", missing.join("`, `"));
            told(notes, &LOGGING_DISABLED_CHECK, &first.at(), reason);
        }
    }
}
