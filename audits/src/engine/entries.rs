//! Checks of policies, access lists and identities, as users read them. Those of certificates and of
//! brokers' configurations have tables of their own.

use crate::catalogue::{Basis, CheckInfo, CodeInfo, ParameterInfo, Room};
use crate::finding::{Finding, Place, ResourceRef, Severity};
use crate::policy::check::{misconfigured, permissive};

/// Check 6 of AWS, for those who do not log in.
pub(crate) const WITHOUT_LOGIN: &str = "UNAUTHENTICATED_COGNITO_ROLE_OVERLY_PERMISSIVE_CHECK";
/// Check 7 of AWS, for whoever is logged in.
pub(crate) const ANY_LOGIN: &str = "AUTHENTICATED_COGNITO_ROLE_OVERLY_PERMISSIVE_CHECK";
/// Check 10 of AWS, for a user or role by its name.
pub(crate) const ROLE: &str = "IOT_ROLE_ALIAS_OVERLY_PERMISSIVE_CHECK";
/// Check 11 of AWS, for grants.
pub(crate) const UNUSED: &str = "IOT_ROLE_ALIAS_ALLOWS_ACCESS_TO_UNUSED_SERVICES_CHECK";
/// Check 15 of AWS.
pub(crate) const CONFLICTING: &str = "CONFLICTING_CLIENT_IDS_CHECK";
/// Ours: how many things somebody reaches.
pub(crate) const BLAST_RADIUS: &str = "BLAST_RADIUS_CHECK";

/// One check.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    severity: Severity,
    basis: Basis,
    room: Room,
    /// Reason code, and what it says.
    codes: &'static [(&'static str, &'static str)],
    notices: &'static str,
    why: &'static str,
    remedy: &'static str,
    references: &'static str,
}

impl From<&'static Entry> for CheckInfo {
    fn from(entry: &'static Entry) -> Self {
        let code = |(code, text): &(&'static str, &'static str)| CodeInfo {
            code: (*code).into(),
            text: (*text).into(),
        };
        let radius = ParameterInfo {
            name: "BLAST_RADIUS_THINGS_MAX".into(),
            default: "1".into(),
            allowed: "a whole number from 0 to 10000000".into(),
        };
        Self {
            name: entry.name.into(),
            severity: entry.severity,
            basis: entry.basis,
            room: entry.room,
            default_on: true,
            codes: entry.codes.iter().map(code).collect(),
            parameters: if entry.name == BLAST_RADIUS { vec![radius] } else { Vec::new() },
            notices: entry.notices.into(),
            why: entry.why.into(),
            remedy: entry.remedy.into(),
            references: entry.references.into(),
        }
    }
}

/// A finding of a check of this table; `code` is the index of its reason code.
pub(crate) fn finding(
    check: &'static str,
    code: usize,
    reason: String,
    resource: ResourceRef,
    place: Option<Place>,
) -> Finding {
    let entry = ENTRIES.iter().find(|entry| entry.name == check);
    let code = entry.and_then(|entry| entry.codes.get(code)).map_or("", |(code, _)| *code);
    debug_assert!(!code.is_empty(), "{check} is in the table with all its codes");
    Finding {
        check: check.into(),
        severity: entry.map_or(Severity::Low, |entry| entry.severity),
        code: code.into(),
        reason,
        resource,
        related: Vec::new(),
        place,
        remedy: entry.map_or("", |entry| entry.remedy).into(),
    }
}

/// All, those of AWS first.
pub(crate) static ENTRIES: [Entry; 15] = [
    Entry {
        name: WITHOUT_LOGIN,
        severity: Severity::Critical,
        basis: Basis::Aws,
        room: Room::Identities,
        codes: &[
            ("ALLOWS_ACCESS_TO_IOT_ADMIN_ACTIONS", "Without login, the broker can be administered."),
            (
                "ALLOWS_BROAD_ACCESS_TO_IOT_DATA_PLANE_ACTIONS",
                "Without login, topics of devices can be read or written.",
            ),
        ],
        notices: "What somebody without any login may do, where the broker lets such clients in: reach the topics of devices, or administer the broker. AWS looks at the role of unauthenticated Cognito identities; a broker's counterpart are its rules for anonymous clients.",
        why: "Whoever reaches the port then reads and commands devices.",
        remedy: "switch anonymous access off, or leave anonymous clients only topics of their own",
        references: "device-defender-audit.md, check 6; mosquitto.conf(5) allow_anonymous",
    },
    Entry {
        name: ANY_LOGIN,
        severity: Severity::Critical,
        basis: Basis::Aws,
        room: Room::Identities,
        codes: &[
            (
                "ALLOWS_BROAD_ACCESS_TO_IOT_THING_ADMIN_READ_ACTIONS",
                "Whoever is logged in may read the topics of any device.",
            ),
            (
                "ALLOWS_ACCESS_TO_IOT_NON_THING_ADMIN_ACTIONS",
                "Whoever is logged in may administer the broker.",
            ),
            (
                "ALLOWS_ACCESS_TO_IOT_THING_ADMIN_WRITE_ACTIONS",
                "Whoever is logged in may write the topics of any device.",
            ),
        ],
        notices: "What any login may do, whoever it belongs to: reach the topics of other devices, or administer the broker. AWS looks at the role of authenticated Cognito identities; a broker's counterpart are its rules for every user.",
        why: "The password of one device is enough to read or command all.",
        remedy: "grant by name: `pattern` with `%u`, roles, or a line for each user",
        references: "device-defender-audit.md, check 7",
    },
    Entry {
        name: permissive::CHECK,
        severity: Severity::Critical,
        basis: Basis::Aws,
        room: Room::Policies,
        codes: &[(permissive::REASON, "The policy grants data plane actions for a broad set of devices.")],
        notices: "A policy that grants data plane actions to a broad set of devices: any client id, the reserved topics of any thing, the shadow or the jobs of any thing.",
        why: "One stolen device then reads and commands all others.",
        remedy: "name the device with `${iot:Connection.Thing.ThingName}` instead of `*`, and allow iot:Connect under the condition `iot:Connection.Thing.IsAttached` only",
        references: "device-defender-audit.md, section 3",
    },
    Entry {
        name: misconfigured::CHECK,
        severity: Severity::Medium,
        basis: Basis::Aws,
        room: Room::Policies,
        codes: &[
            (misconfigured::WILDCARDS, "A Deny holds a wildcard of MQTT, which policies take literally."),
            (
                misconfigured::BYPASSED,
                "A wider filter goes round a denied one, and its messages may be received.",
            ),
        ],
        notices: "A Deny that does not deny what it says: with `+` or `#`, which policies take literally, or for subscriptions alone, where a wider filter brings the same messages.",
        why: "Topics that were meant to be closed are open.",
        remedy: "write `*` for `+` and `#` in a Deny, and deny `iot:Receive` on the same topics",
        references: "device-defender-audit.md, section 4",
    },
    Entry {
        name: ROLE,
        severity: Severity::Critical,
        basis: Basis::Aws,
        room: Room::Policies,
        codes: &[
            ("ALLOWS_BROAD_ACCESS_TO_USED_SERVICES", "A role is granted every action of a service."),
            (
                "ALLOWS_ACCESS_TO_SECURITY_AUDITING_SERVICES",
                "A role is granted a service that guards the account.",
            ),
            ("ALLOWS_BROAD_ACCESS_TO_IOT_THING_ADMIN_READ_ACTIONS", "A role may read about any thing."),
            ("ALLOWS_ACCESS_TO_IOT_NON_THING_ADMIN_ACTIONS", "A user may administer the broker."),
            ("ALLOWS_ACCESS_TO_IOT_THING_ADMIN_WRITE_ACTIONS", "A role may manage things."),
            ("ALLOWS_BROAD_ACCESS_TO_IOT_DATA_PLANE_ACTIONS", "A user reaches topics without bounds."),
        ],
        notices: "A user of a broker that reaches every topic, or administers the broker, without being called an administrator; and a policy of a role that grants whole services, or services that guard the account. AWS looks at role aliases.",
        why: "Its password or key is worth as much as the administrator's, and is guarded less.",
        remedy: "grant the topics and actions that are needed, by name",
        references: "device-defender-audit.md, check 10",
    },
    Entry {
        name: UNUSED,
        severity: Severity::Medium,
        basis: Basis::Aws,
        room: Room::Policies,
        codes: &[("ALLOWS_ACCESS_TO_UNUSED_SERVICES", "Grants that nobody used in the recorded history.")],
        notices: "Grants of a policy or access list that the recorded history does not need, with a tighter one that was proven to allow all that was used. AWS compares role aliases with the services they used in a year.",
        why: "A grant that nobody needs helps only the thief.",
        remedy: "take the unused grants away; `PROPOSED_POLICY` is a policy without them",
        references: "device-defender-audit.md, check 11",
    },
    Entry {
        name: CONFLICTING,
        severity: Severity::High,
        basis: Basis::Aws,
        room: Room::Identities,
        codes: &[(
            "DUPLICATE_CLIENT_ID_ACROSS_CONNECTIONS",
            "A second connection with the same client id displaced a live one.",
        )],
        notices: "Client ids with which a connection displaced another that was alive.",
        why: "Two devices with one id throw each other out; or somebody has cloned a device.",
        remedy: "give each device an id of its own, and tie ids to credentials",
        references: "device-defender-audit.md, check 15; MQTT 5.0, section 3.1.4",
    },
    Entry {
        name: "ACL_ROOT_WILDCARD_CHECK",
        severity: Severity::Critical,
        basis: Basis::Ours,
        room: Room::Policies,
        codes: &[("ALLOWS_EVERY_TOPIC", "Somebody who is no administrator may read or write every topic.")],
        notices: "Somebody who is no administrator and reads or writes every topic. HIGH if it is somebody by name.",
        why: "One stolen credential reads or commands the whole fleet.",
        remedy: "grant the topics that are needed, by name",
        references: "broker-integration.md, sections 2 to 5",
    },
    Entry {
        name: "ACL_ADMINISTRATIVE_TOPICS_CHECK",
        severity: Severity::Critical,
        basis: Basis::Ours,
        room: Room::Policies,
        codes: &[
            ("ALLOWS_CONTROL_OF_BROKER", "The topics by which the broker is administered may be written."),
            ("ALLOWS_PUBLISH_AS_BROKER", "Topics where only the broker should speak may be written."),
            ("ALLOWS_READ_OF_BROKER", "Topics that tell about the broker may be read."),
        ],
        notices: "Somebody who is no administrator and may change the broker (`$CONTROL`), speak in its name (`$SYS`), or read either.",
        why: "Who writes `$CONTROL` gives itself every other right.",
        remedy: "leave the trees of the broker to administrators",
        references: "broker-integration.md, sections 2 to 5",
    },
    Entry {
        name: "ACL_OTHER_DEVICES_CHECK",
        severity: Severity::High,
        basis: Basis::Ours,
        room: Room::Policies,
        codes: &[
            ("ALLOWS_PUBLISH_TO_OTHER_DEVICES", "Topics of other devices may be written."),
            ("ALLOWS_READ_OF_OTHER_DEVICES", "Topics of other devices may be read."),
        ],
        notices: "A device that reaches the topics of another, with a topic for an example.",
        why: "One stolen device commands or overhears its neighbours.",
        remedy: "name the device in the topic: `%u`, `${iot:Connection.Thing.ThingName}`",
        references: "broker-integration.md, sections 2 to 5; device-defender-audit.md, section 3",
    },
    Entry {
        name: "ACL_DEFAULT_ALLOW_CHECK",
        severity: Severity::High,
        basis: Basis::Ours,
        room: Room::Policies,
        codes: &[("ALLOWS_WHAT_NO_RULE_NAMES", "What no rule names is allowed.")],
        notices: "Access lists that allow what they do not name.",
        why: "Every new topic is open until somebody thinks of it.",
        remedy: "deny by default and grant what is needed",
        references: "broker-integration.md, sections 2 to 5",
    },
    Entry {
        name: "ACL_CLIENT_ID_FREE_CHECK",
        severity: Severity::High,
        basis: Basis::Ours,
        room: Room::Policies,
        codes: &[(
            "GRANTS_BY_CLIENT_ID_THAT_CLIENTS_CHOOSE",
            "A rule grants by the client id, which every client chooses itself.",
        )],
        notices: "Rules that grant by the client id on a broker that does not tie it to the credential.",
        why: "A device that connects with the id of another has its rights.",
        remedy: "grant by the user name, or tie ids to credentials (Mosquitto: `use_username_as_clientid true`)",
        references: "broker-integration.md, section 2.5",
    },
    Entry {
        name: "ACL_INVALID_CHECK",
        severity: Severity::Medium,
        basis: Basis::Ours,
        room: Room::Policies,
        codes: &[("RULE_CANNOT_BE_READ", "A rule that cannot be read.")],
        notices: "Rules that cannot be read; the broker refuses the file or ignores them.",
        why: "What was meant to be denied may be allowed.",
        remedy: "correct it; what the broker does with it is not what it says",
        references: "broker-integration.md, sections 2 to 5",
    },
    Entry {
        name: "ACL_UNDECIDED_CHECK",
        severity: Severity::Low,
        basis: Basis::Ours,
        room: Room::Policies,
        codes: &[("QUESTIONS_UNDECIDED", "Questions about somebody's rights stayed without an answer.")],
        notices: "Rules that are too large or too unusual to be decided, so that other checks are silent about them.",
        why: "What is not decided is not known to be right.",
        remedy: "simplify the rules: expressions without look-around, fewer wildcards beside each other",
        references: "broker-integration.md, sections 2 to 5",
    },
    Entry {
        name: BLAST_RADIUS,
        severity: Severity::High,
        basis: Basis::Ours,
        room: Room::Policies,
        codes: &[("REACHES_MANY_THINGS", "Somebody reaches more things than allowed.")],
        notices: "Somebody who is no administrator and could read from, publish to, or connect as more registered things than `BLAST_RADIUS_THINGS_MAX`, counted exactly.",
        why: "It is how far a thief gets with one credential.",
        remedy: "name the device in topics and client ids, so that each reaches itself alone",
        references: "broker-integration.md, sections 2 to 5",
    },
];
