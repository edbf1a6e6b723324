use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    alarm::tests::alarm,
    alert::{self, Alert},
    testing::{Crash, Disk, LifeStore},
};

fn store() -> Arc<LifeStore> {
    LifeStore::new(&Arc::<Disk>::default(), &Crash::never())
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

/// `THING BEHAVIOR` begins at `secs`; `number` tells violations of the same apart.
fn begins(thing: &str, behavior: &str, secs: i64) -> Alarm {
    let violation_id = format!("{thing}.{behavior}");
    Alarm {
        id: format!("{violation_id}-in-{secs}"),
        violation_id,
        behavior: behavior.into(),
        ..alarm(thing, secs)
    }
}

fn ends(thing: &str, behavior: &str, secs: i64) -> Alarm {
    let began = begins(thing, behavior, secs);
    Alarm { id: format!("{}-out-{secs}", began.violation_id), kind: AlarmKind::AlarmCleared, ..began }
}

/// Incidents with their store, as `Response` uses them.
struct Desk {
    store: Arc<LifeStore>,
    incidents: Incidents,
}

impl Desk {
    fn new(options: IncidentOptions) -> Self {
        let store = store();
        let incidents = Incidents::open(&*store, options).unwrap();
        Self { store, incidents }
    }

    fn commit(&self, draft: &IncidentDraft) {
        let mut batch = Batch::new();
        self.incidents.put(draft, &mut batch).unwrap();
        self.store.commit(&batch).unwrap();
    }

    fn take(&mut self, alarm: &Alarm) -> Taken {
        let mut draft = IncidentDraft::default();
        let taken = self.incidents.take(&*self.store, alarm, &[], alarm.at, &mut draft).unwrap();
        self.commit(&draft);
        taken
    }

    fn due(&mut self, secs: i64) -> Vec<IncidentAlert> {
        let mut draft = IncidentDraft::default();
        let due = self.incidents.due(at(secs), at(secs), &mut draft);
        self.commit(&draft);
        due
    }

    fn restart(&mut self) {
        self.incidents = Incidents::open(&*self.store, self.incidents.options).unwrap();
    }
}

/// Lines `SECS + THING BEHAVIOR` (begins) and `SECS - THING BEHAVIOR` (ends). What is expected is a
/// letter for each line: the same letter for the same incident, upper case for what is gathered.
fn check(script: &str, expected: &str) {
    let options = IncidentOptions { singles_max: 2, window_secs: 60, ..IncidentOptions::default() };
    let (mut once, mut restarted) = (Desk::new(options), Desk::new(options));
    let mut names: Vec<Option<String>> = Vec::new();
    let mut letters = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let secs = words[0].parse().unwrap();
        let alarm = if words[1] == "+" { begins } else { ends }(words[2], words[3], secs);
        let taken = once.take(&alarm);
        restarted.restart();
        assert_eq!(restarted.take(&alarm), taken, "a restart changes nothing: {line}");
        let index = names.iter().position(|name| *name == taken.incident).unwrap_or_else(|| {
            names.push(taken.incident.clone());
            names.len() - 1
        });
        let letter = char::from(b'a' + u8::try_from(index).unwrap());
        letters.push(if taken.how == How::Gathered { letter.to_ascii_uppercase() } else { letter });
    }
    assert_eq!(letters, expected, "{script}");
}

#[test]
fn what_belongs_together() {
    // The same behavior on many things: the third and later are gathered, and so are their ends.
    check("0 + a x\n1 + b x\n2 + c x\n3 - a x\n4 - c x", "aaAaA");
    // At the edge of the window and past it; the window moves on with each alarm.
    check("0 + a x\n60 + b x\n120 + c x\n181 + d x", "aaAb");
    // Order of event time does not matter within the window.
    check("60 + a x\n0 + b x\n120 + c x", "aaA");
    // Other behaviors of other things are other incidents.
    check("0 + a x\n0 + b y\n0 + c z", "abc");
    // The same thing, while something of it lasts, whenever.
    check("0 + a x\n500 + a y\n501 - a x\n502 - a y\n503 + a z", "aaaab");
    // Only the first alarm says what may join: no growing over chains.
    check("0 + a x\n1 + b x\n2 + b y\n3 + c y", "aabb");
    // A thing of its own comes second to the same behavior elsewhere.
    check("0 + a x\n0 + b y\n1 + a y", "abb");
    // What was not known to begin ends by itself.
    check("0 - a x", "a");
}

#[test]
fn messages_come_after_gathering_at_a_pace_and_at_the_end() {
    let options = IncidentOptions {
        singles_max: 1,
        window_secs: 60,
        gather_secs: 10,
        update_secs: 100,
        ..IncidentOptions::default()
    };
    let mut desk = Desk::new(options);
    let said = |alerts: Vec<IncidentAlert>| -> Vec<String> {
        alerts.into_iter().map(|alert| alert::title(&Alert::Incident(Box::new(alert)))).collect()
    };
    desk.take(&begins("a", "x", 0));
    assert_eq!(said(desk.due(50)), [] as [&str; 0], "one alarm is told by itself");
    for (secs, thing) in [(51, "b"), (52, "c"), (60, "d")] {
        desk.take(&begins(thing, "x", secs));
    }
    assert_eq!(said(desk.due(60)), [] as [&str; 0]);
    desk.restart();
    assert_eq!(said(desk.due(61)), ["incident opened: pumps/x, 4 of 4 alarms last"]);
    assert_eq!(said(desk.due(62)), [] as [&str; 0], "once");
    desk.take(&begins("e", "x", 70));
    desk.take(&ends("a", "x", 71));
    assert_eq!(said(desk.due(160)), [] as [&str; 0]);
    let update = desk.due(161);
    assert_eq!(update[0].fresh.iter().map(|s| s.entity.name()).collect::<Vec<_>>(), ["e"]);
    assert_eq!(said(update), ["incident update: pumps/x, 4 of 5 alarms last"]);
    for (thing, secs) in [("b", 170), ("c", 171), ("d", 172), ("e", 173)] {
        desk.take(&ends(thing, "x", secs));
    }
    let last = desk.due(174);
    assert_eq!(last[0].incident.closed_at, Some(at(130)));
    assert_eq!(said(last), ["incident cleared: pumps/x, all 5 alarms are over"]);
    assert_eq!((said(desk.due(1000)), desk.incidents.counts()), (vec![], (0, 0)));
    let rows = stored(&*desk.store, 10).unwrap();
    assert_eq!((rows.len(), &rows[0]["alarms"], &rows[0]["mostOpen"]), (1, &5.into(), &5.into()));
}

#[test]
fn what_came_and_went_before_its_message_is_told_once_and_single_alarms_need_no_end() {
    let options = IncidentOptions { singles_max: 1, window_secs: 5, ..IncidentOptions::default() };
    let mut desk = Desk::new(options);
    for thing in ["a", "b"] {
        desk.take(&begins(thing, "x", 0));
        desk.take(&ends(thing, "x", 1));
    }
    let only = desk.due(6);
    assert_eq!((only.len(), only[0].kind, only[0].incident.alarms), (1, IncidentMessage::Cleared, 2));
    desk.take(&begins("c", "y", 10));
    desk.take(&ends("c", "y", 11));
    assert_eq!(desk.due(100), []);
    assert_eq!(desk.incidents.counts(), (0, 0));
}

#[test]
fn bounds_hold_and_what_is_past_them_is_told_by_itself_and_counted() {
    let options = IncidentOptions { open_max: 2, kept_max: 3, singles_max: 1, ..IncidentOptions::default() };
    let mut desk = Desk::new(options);
    for thing in ["a", "b", "c"] {
        desk.take(&begins(thing, thing, 0));
    }
    assert_eq!(desk.incidents.counts(), (2, 1));
    assert_eq!(desk.take(&begins("d", "d", 0)), Taken { incident: None, how: How::Singly });
    for round in 0..5 {
        let start = 1000 * (round + 1);
        for thing in ["a", "b"] {
            desk.take(&ends(thing, thing, start));
        }
        desk.due(start + 500);
        for thing in ["a", "b"] {
            desk.take(&begins(thing, thing, start + 600));
        }
    }
    assert_eq!(
        stored(&*desk.store, 100).unwrap().len(),
        2 + 3,
        "open ones, and the closed ones that are kept"
    );
    desk.restart();
    assert_eq!((desk.incidents.counts().0, desk.incidents.closed.len()), (2, 3));
}

#[test]
fn a_repeated_alarm_changes_nothing() {
    let mut desk = Desk::new(IncidentOptions { singles_max: 1, ..IncidentOptions::default() });
    let first = desk.take(&begins("a", "x", 0));
    let second = desk.take(&begins("b", "x", 0));
    assert_eq!(desk.take(&begins("b", "x", 0)), second);
    assert_eq!(desk.take(&begins("a", "x", 0)), first);
    let only = stored(&*desk.store, 10).unwrap();
    assert_eq!((&only[0]["alarms"], &only[0]["open"]), (&2.into(), &2.into()));
}

#[test]
fn a_suppressed_alarm_is_in_no_incident() {
    let mut desk = Desk::new(IncidentOptions::default());
    let silent = Alarm { suppressed: true, ..begins("a", "x", 0) };
    assert_eq!(desk.take(&silent).incident, None);
    assert_eq!(desk.incidents.counts(), (0, 0));
}

proptest! {
    /// Whatever happens: counts add up, memory is bounded, a restart at any place changes nothing.
    #[test]
    fn counts_add_up(
        steps in proptest::collection::vec((0_u8..6, 0_u8..3, any::<bool>(), 0_i64..50), 1..120),
        restart_at in 0_usize..120,
    ) {
        let options = IncidentOptions { open_max: 3, kept_max: 2, singles_max: 2, window_secs: 60, gather_secs: 5, update_secs: 20 };
        let (mut desk, mut other) = (Desk::new(options), Desk::new(options));
        let mut lasting = BTreeMap::new();
        let (mut now, mut grouped) = (0, 0_u64);
        for (index, (thing, behavior, begin, pause)) in steps.into_iter().enumerate() {
            now += pause;
            let (thing, behavior) = (format!("t{thing}"), format!("b{behavior}"));
            let key = (thing.clone(), behavior.clone());
            // An engine never begins what lasts nor ends what does not.
            let alarm = if let Some(violation_id) = lasting.get(&key).cloned() {
                if begin { continue }
                lasting.remove(&key);
                Alarm { violation_id, ..ends(&thing, &behavior, now) }
            } else {
                if !begin { continue }
                let violation_id = format!("{thing}.{behavior}.{index}");
                lasting.insert(key, violation_id.clone());
                Alarm { violation_id, ..begins(&thing, &behavior, now) }
            };
            if index == restart_at {
                other.restart();
            }
            let taken = desk.take(&alarm);
            prop_assert_eq!(&other.take(&alarm), &taken);
            grouped += u64::from(taken.incident.is_some() && alarm.kind == AlarmKind::InAlarm);
            prop_assert_eq!(desk.due(now), other.due(now));
            let open: u64 = desk.incidents.open.values().map(|incident| incident.open).sum();
            prop_assert!(open <= lasting.len() as u64);
            prop_assert!(desk.incidents.open.len() <= 3 && desk.incidents.closed.len() <= 2);
            for incident in desk.incidents.open.values() {
                prop_assert!(incident.open <= incident.most_open && incident.most_open <= incident.alarms);
                prop_assert!(incident.gathered == incident.alarms.saturating_sub(2));
                prop_assert!(incident.fresh.len() <= SAMPLES_MAX && incident.first.len() <= SAMPLES_MAX);
            }
        }
        let kept: u64 = desk.incidents.open.values().map(|incident| incident.alarms).sum();
        prop_assert!(kept <= grouped);
        let ids: Vec<_> = desk.incidents.open.keys().collect();
        prop_assert_eq!(ids, other.incidents.open.keys().collect::<Vec<_>>());
    }
}
