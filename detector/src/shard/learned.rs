//! Learned judgements: what they hear of, and what becomes of their verdicts.

use std::{net::IpAddr, sync::Arc};

use behaviors::{
    learned::{
        Learned,
        known::KnownSet,
        peers::{Peers, Prior},
        verdict::Verdict,
    },
    limit::LimitSource,
    set::{Behavior, BehaviorSet, Test},
    slot::{Deciding, Slot, Value},
};
use fleet::{
    event::{Attribution, DisconnectReason},
    metric::AwsMetric,
    time::Timestamp,
};

use super::step::{List, Step, Whole};

/// Hashes of the values of a list, as a learnt set wants them.
pub(crate) type Hashes<'a> = &'a dyn Fn(&KnownSet, &mut dyn FnMut(u32));

/// Words that an operation's reason of a disconnect is written as. The order is written to no file.
const REASONS: [DisconnectReason; 9] = [
    DisconnectReason::Unknown,
    DisconnectReason::Clean,
    DisconnectReason::Unclean,
    DisconnectReason::Timeout,
    DisconnectReason::Takeover,
    DisconnectReason::Kicked,
    DisconnectReason::Auth,
    DisconnectReason::Tls,
    DisconnectReason::Protocol,
];

/// The reason of a disconnect as the argument of an operation.
pub(crate) fn reason_number(reason: DisconnectReason) -> u64 {
    REASONS.iter().position(|&known| known == reason).unwrap_or(0) as u64
}

/// And back.
pub(crate) fn reason_of(number: u64) -> DisconnectReason {
    let at = usize::try_from(number).unwrap_or(usize::MAX);
    REASONS.get(at).copied().unwrap_or(DisconnectReason::Unknown)
}

/// Hashes of ports.
pub(crate) fn of_ports(ports: &[u16]) -> impl Fn(&KnownSet, &mut dyn FnMut(u32)) {
    move |_, take| ports.iter().for_each(|&port| take(KnownSet::number(f64::from(port))))
}

/// Hashes of addresses.
pub(crate) fn of_addresses(addresses: &[IpAddr]) -> impl Fn(&KnownSet, &mut dyn FnMut(u32)) {
    move |set, take| addresses.iter().for_each(|&address| take(set.address(address)))
}

/// A behavior forgets its alarm and its window; what it has learnt it keeps.
pub(crate) fn begin_anew(set: &BehaviorSet, (run, words): (&mut [Slot], &mut [u32]), order: u16) {
    if let Some(slot) = run.get_mut(usize::from(order)) {
        *slot = Slot::default();
    } else if let Some(word) = set.state_of(order).and_then(|at| words.get_mut(at)) {
        *word = Slot::default().word();
    }
}

impl Step<'_> {
    /// A number was observed by a behavior that learns. Whether it was late.
    pub(crate) fn learned_number(
        &mut self,
        order: u16,
        behavior: &Arc<Behavior>,
        rule: &Learned,
        value: f64,
    ) -> bool {
        let (at, who) = (self.sink.op.at, self.sink.op.who);
        let late = self.run.get(usize::from(order)).is_some_and(|slot| slot.is_late(at));
        match rule {
            Learned::Silence(_) => self.heard(order, behavior, rule),
            Learned::Baseline(_) | Learned::Counts(_) => {
                let Some(slot) = self.run.get_mut(usize::from(order)) else { return false };
                let (closed, own) = behavior.observe_number(slot, at, value, who);
                for point in [closed, own].iter().flatten() {
                    self.settle(order, behavior, rule, &point.deciding);
                }
                let words = self.words.get(self.set.words_of(order)).unwrap_or_default();
                let Some(start) = self.run.get(usize::from(order)).map(Slot::start) else { return late };
                let prior = self.prior(behavior, rule, words, start).map(|(prior, _)| prior);
                let Some(slot) = self.run.get_mut(usize::from(order)) else { return late };
                if own.is_none()
                    && let Some(bound) = rule.bound_above(words, start, prior.as_ref())
                    && let Some(point) = behavior.decide_early(slot, at, bound)
                {
                    self.settle(order, behavior, rule, &point.deciding);
                }
            }
            Learned::Clock(_) if !value.is_nan() => {
                let deciding = Deciding {
                    at,
                    value: Value::Number(value),
                    attribution: who,
                    start: at,
                    limit: behavior.limit(),
                };
                self.settle(order, behavior, rule, &deciding);
            }
            Learned::Clock(_) | Learned::Known(_) | Learned::Absence(_) | Learned::Flapping(_) => {}
        }
        late
    }

    /// Whether an alarm of the behavior is open.
    fn is_in_alarm(&self, order: u16) -> bool {
        let slot = self.run.get(usize::from(order)).copied();
        let word = || self.set.state_of(order).and_then(|at| self.words.get(at)).copied();
        slot.or_else(|| word().map(Slot::from_word)).is_some_and(|slot| slot.in_alarm())
    }

    /// What stands in for the entity's own level in the window at `start`, if that is still learnt.
    #[inline]
    fn prior(
        &self,
        behavior: &Behavior,
        rule: &Learned,
        words: &[u32],
        start: Timestamp,
    ) -> Option<(Prior, Peers)> {
        let peers = rule.warm_up(words, start)?;
        let pools = self.sink.peers.as_ref()?.pools;
        pools.prior(behavior.fingerprint, peers, self.set.group())
    }

    /// Judges a number that its window has gathered, and counts the verdict.
    pub(crate) fn settle(
        &mut self,
        order: u16,
        behavior: &Arc<Behavior>,
        rule: &Learned,
        deciding: &Deciding,
    ) {
        let Value::Number(value) = deciding.value else { return };
        let in_alarm = self.is_in_alarm(order);
        let words = self.words.get(self.set.words_of(order)).unwrap_or_default();
        let prior = self.prior(behavior, rule, words, deciding.start);
        let words = self.words.get_mut(self.set.words_of(order)).unwrap_or_default();
        let source = prior.map(|(prior, of)| LimitSource::Peers { of, things: prior.things });
        let prior = prior.map(|(prior, _)| prior);
        // What a source did not see is missing in the window: that is no sign of too little, and
        // no lesson. Too much is too much all the same.
        if behavior.window.is_some() && self.sink.blind.had(deciding.start, deciding.at) {
            let too_much =
                rule.bound_above(words, deciding.start, prior.as_ref()).is_some_and(|bound| value > bound);
            if !too_much {
                return;
            }
        }
        if let Some((value, verdict)) = rule.number(words, deciding.start, value, in_alarm, prior.as_ref()) {
            let deciding = Deciding { value: Value::Number(value), ..*deciding };
            self.verdict(order, behavior, deciding, (verdict, source), None);
        }
    }

    /// A list was observed by a behavior that learns.
    pub(crate) fn learned_list(
        &mut self,
        order: u16,
        behavior: &Arc<Behavior>,
        rule: &Learned,
        (hashes, list): (Hashes<'_>, List<'_>),
    ) {
        let set = match rule {
            Learned::Silence(_) => return self.heard(order, behavior, rule),
            Learned::Known(set) => set,
            Learned::Baseline(_)
            | Learned::Counts(_)
            | Learned::Absence(_)
            | Learned::Flapping(_)
            | Learned::Clock(_) => return,
        };
        let (at, attribution) = (self.sink.op.at, self.sink.op.who);
        let mut all: smallvec::SmallVec<[u32; 16]> = smallvec::SmallVec::new();
        hashes(set, &mut |hash| all.push(hash));
        let known = match (set.of, &mut self.sink.peers) {
            (Some(of), Some(peers)) => {
                let key = (behavior.fingerprint, of.of(self.set.group()));
                let known = peers.news.of(key, set).observe(set, peers.pools.set(key), at, all);
                peers.news.bound();
                known
            }
            (Some(_), None) => return,
            (None, _) => {
                let words = self.words.get_mut(self.set.words_of(order)).unwrap_or_default();
                set.observe(words, at, all)
            }
        };
        self.sink.counts.forgotten += u64::from(known.evicted);
        let deciding = Deciding { at, value: Value::List, attribution, start: at, limit: behavior.limit() };
        self.verdict(order, behavior, deciding, (known.verdict, None), list);
    }

    /// A message was sent on a topic.
    pub(crate) fn topic(&mut self, topic: &str) {
        let hashes = |set: &KnownSet, take: &mut dyn FnMut(u32)| take(set.topic(topic));
        for &order in self.set.listeners(AwsMetric::NumMessagesSent) {
            let Some(behavior) = self.set.behaviors().get(usize::from(order)) else { continue };
            if let Test::Learned(rule @ Learned::Known(_)) = &behavior.test {
                self.learned_list(order, behavior, rule, (&hashes, Some(Whole::Text(topic))));
            }
        }
    }

    /// A sign of life for a behavior that judges silence.
    #[inline]
    fn heard(&mut self, order: u16, behavior: &Arc<Behavior>, rule: &Learned) {
        let Learned::Silence(silence) = rule else { return };
        let (at, blind_until) = (self.sink.op.at, self.sink.blind.until());
        let words = self.words.get_mut(self.set.words_of(order)).unwrap_or_default();
        silence.heard(words, at, blind_until);
        if self.is_in_alarm(order) {
            self.passed_one(order, behavior, rule);
        }
    }

    /// Time has passed for a behavior that judges what only time changes.
    pub(crate) fn passed_one(&mut self, order: u16, behavior: &Arc<Behavior>, rule: &Learned) {
        let (at, blind_until) = (self.sink.op.at, self.sink.blind.until());
        let words = self.words.get_mut(self.set.words_of(order)).unwrap_or_default();
        if let Some((value, verdict)) = rule.passed(words, at, blind_until) {
            self.number_verdict(order, behavior, value, verdict);
        }
    }

    /// A session began.
    pub(crate) fn session_began(&mut self) {
        for &order in self.set.of_sessions() {
            let Some(behavior) = self.set.behaviors().get(usize::from(order)) else { continue };
            let words = self.words.get_mut(self.set.words_of(order)).unwrap_or_default();
            match &behavior.test {
                Test::Learned(Learned::Absence(rule)) => {
                    if let Some(verdict) = rule.back(words) {
                        self.number_verdict(order, behavior, 0.0, verdict);
                    }
                }
                Test::Learned(Learned::Flapping(rule)) => {
                    let (value, verdict) = rule.changed(words, self.sink.op.at);
                    self.number_verdict(order, behavior, value, verdict);
                }
                _ => {}
            }
        }
    }

    /// A session ended; `by_broker`: with its broker, which is nothing that the thing did.
    pub(crate) fn session_ended(&mut self, reason: DisconnectReason, by_broker: bool) {
        for &order in self.set.of_sessions() {
            let Some(behavior) = self.set.behaviors().get(usize::from(order)) else { continue };
            let words = self.words.get_mut(self.set.words_of(order)).unwrap_or_default();
            match &behavior.test {
                Test::Learned(Learned::Absence(rule)) => rule.left(words, self.sink.op.at, reason),
                Test::Learned(Learned::Flapping(rule)) if !by_broker => {
                    let (value, verdict) = rule.changed(words, self.sink.op.at);
                    self.number_verdict(order, behavior, value, verdict);
                }
                _ => {}
            }
        }
    }

    fn number_verdict(&mut self, order: u16, behavior: &Arc<Behavior>, value: f64, verdict: Verdict) {
        let at = self.sink.op.at;
        let attribution = Attribution::Certain;
        let deciding =
            Deciding { at, value: Value::Number(value), attribution, start: at, limit: behavior.limit() };
        self.verdict(order, behavior, deciding, (verdict, None), None);
    }

    /// Counts a verdict, and tells what it changed.
    fn verdict(
        &mut self,
        order: u16,
        behavior: &Arc<Behavior>,
        deciding: Deciding,
        (verdict, source): (Verdict, Option<LimitSource>),
        list: List<'_>,
    ) {
        let Test::Learned(rule) = &behavior.test else { return };
        if verdict == Verdict::Learning {
            return;
        }
        let value = match (deciding.value, list) {
            (Value::Number(number), _) => number,
            (Value::List, list) => list.map_or(0.0, |list| list.len() as f64),
        };
        let mut limit = rule.limit(value, verdict);
        limit.source = source.unwrap_or(limit.source);
        let compliant = !verdict.is_unusual();
        let word = self.set.state_of(order).and_then(|at| self.words.get_mut(at));
        let point = match (self.run.get_mut(usize::from(order)), word) {
            (Some(slot), _) => behavior.decide(slot, deciding, compliant, limit),
            (None, Some(word)) => {
                let mut slot = Slot::from_word(*word);
                let point = behavior.decide(&mut slot, deciding, compliant, limit);
                *word = slot.word();
                point
            }
            (None, None) => return,
        };
        let recent = self.recent.get_mut(usize::from(order));
        self.sink.point(order, behavior, recent, &point, list);
    }
}

/// Tells learned behaviors that are new to an entity that is away that it is.
pub(crate) fn tell_away(behavior: &Behavior, words: &mut [u32], left: Timestamp) {
    if let Test::Learned(Learned::Absence(rule)) = &behavior.test
        && words.first() == Some(&0)
    {
        rule.left(words, left, DisconnectReason::Unknown);
    }
}
