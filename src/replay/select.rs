//! What of a replay is reported: a time range, things, groups.

use std::collections::BTreeSet;

use detector::transition::{EntityName, Transition};
use fleet::{ids::GroupName, registry::Registry, time::Timestamp};
use time::{Date, OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

use super::violations::entity_text;

/// A range of event time; both ends are in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First moment; what came before is folded and not reported.
    pub from: Option<Timestamp>,
    /// Last moment.
    pub to: Option<Timestamp>,
}

impl Range {
    /// Whether `at` is in the range.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at <= to)
    }
}

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// When.
    pub range: Range,
    /// Things, or other entities such as source addresses, by name; none means all.
    pub things: BTreeSet<String>,
    /// Groups; their members and those of groups below them are wanted. None means all.
    pub groups: BTreeSet<GroupName>,
}

impl Selection {
    /// Whether the entity is wanted, whenever.
    #[must_use]
    pub fn wants(&self, registry: &Registry, entity: &EntityName) -> bool {
        if self.things.is_empty() && self.groups.is_empty() {
            return true;
        }
        if let EntityName::Thing(name) = entity {
            return self.wants_thing(registry, name);
        }
        self.things.contains(&entity_text(entity))
    }

    /// Whether the thing is wanted, whenever.
    #[must_use]
    pub fn wants_thing(&self, registry: &Registry, name: &str) -> bool {
        (self.things.is_empty() && self.groups.is_empty())
            || self.things.contains(name)
            || self.groups.iter().any(|group| registry.is_member(name, group))
    }

    /// Whether the transition is wanted.
    #[must_use]
    pub fn includes(&self, registry: &Registry, transition: &Transition) -> bool {
        self.range.contains(transition.at) && self.wants(registry, &transition.entity)
    }
}

/// A moment as people write it on a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// That one.
    At(Timestamp),
    /// So many milliseconds before now.
    Ago(i64),
}

impl Moment {
    /// When that is.
    #[must_use]
    pub const fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(millis) => now.plus_millis(-millis),
        }
    }
}

/// Reads `2026-03-01T12:00:00Z`, `2026-03-01` (its begin, UTC), or a time before now: `90s`, `30m`,
/// `24h`, `7d`.
///
/// # Errors
/// Says what was found and what is allowed.
pub fn moment(text: &str) -> Result<Moment, String> {
    let at = |time: OffsetDateTime| {
        let millis = time.unix_timestamp_nanos() / 1_000_000;
        i64::try_from(millis)
            .map(|millis| Moment::At(Timestamp::from_millis(millis)))
            .map_err(|e| e.to_string())
    };
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return at(time);
    }
    if let Ok(date) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return at(date.midnight().assume_utc());
    }
    let split = text.len() - text.chars().next_back().map_or(0, char::len_utf8);
    let (number, unit) = text.split_at_checked(split).unwrap_or((text, ""));
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let millis = number.parse::<i64>().ok().filter(|_| plain && unit > 0).and_then(|n| n.checked_mul(unit));
    millis.map(Moment::Ago).ok_or_else(|| {
        format!(
            "found `{text}`; expected a time such as 2026-03-01T12:00:00Z, a date such as 2026-03-01, \
             or how long ago, such as 90s, 30m, 24h or 7d"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_wrong_ones_refused() {
        let cases = [
            ("2026-03-01T12:00:00Z", Moment::At(Timestamp::from_millis(1_772_366_400_000))),
            ("2026-03-01T13:00:00.5+01:00", Moment::At(Timestamp::from_millis(1_772_366_400_500))),
            ("2026-03-01", Moment::At(Timestamp::from_millis(1_772_323_200_000))),
            ("90s", Moment::Ago(90_000)),
            ("7d", Moment::Ago(7 * 86_400_000)),
        ];
        for (text, wanted) in cases {
            assert_eq!(moment(text), Ok(wanted), "{text}");
        }
        for wrong in ["", "s", "7", "-7d", "+7d", "7w", "2026-13-01", "99999999999999999d", "ä", "7ä"] {
            let error = moment(wrong).unwrap_err();
            assert!(error.starts_with(&format!("found `{wrong}`; expected a time")), "{error}");
        }
        assert_eq!(Moment::Ago(5).resolve(Timestamp::from_millis(7)), Timestamp::from_millis(2));
    }

    #[test]
    fn both_ends_are_in_the_range() {
        let at = Timestamp::from_secs;
        let range = Range { from: Some(at(100)), to: Some(at(200)) };
        for (secs, inside) in [(99, false), (100, true), (200, true), (201, false)] {
            assert_eq!(range.contains(at(secs)), inside, "{secs}");
        }
        assert!(Range::default().contains(Timestamp::MIN));
    }

    #[test]
    fn things_and_groups_add_up() {
        let registry: Registry = serde_json::from_str(
            r#"{"groups":{"plant":{},"hall":{"parent":"plant"}},"things":{"p":{"groups":["hall"]},"q":{}}}"#,
        )
        .unwrap();
        let thing = |name: &str| EntityName::Thing(name.into());
        let address = EntityName::SourceIp("10.0.0.1".parse().unwrap());
        let all = Selection::default();
        assert!(all.wants(&registry, &thing("x")) && all.wants(&registry, &address));
        let some = Selection {
            things: ["q".to_owned(), "10.0.0.1".to_owned()].into(),
            groups: ["plant".parse().unwrap()].into(),
            ..Selection::default()
        };
        let wanted = |entity: &EntityName| some.wants(&registry, entity);
        assert!(wanted(&thing("p")) && wanted(&thing("q")) && wanted(&address));
        assert!(!wanted(&thing("r")) && !wanted(&EntityName::SourceIp("10.0.0.2".parse().unwrap())));
    }
}
