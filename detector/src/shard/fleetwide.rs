//! Behaviors that compare an entity with all others: every shard gathers, then all meet, then
//! every shard judges. And those that learn from others: what all have learnt is put together.

use std::sync::Arc;

use behaviors::{
    learned::Learned,
    limit::Limit,
    set::{POOL_SECS, Test},
    slot::{Deciding, Value},
};
use fleet::{event::Attribution, time::Timestamp};

use super::{
    Shard,
    step::{Out, Waiting},
};
use crate::{
    batch::{Batch, Op, What},
    meeting::{FleetLimits, Gathered, Met, Pools},
};

/// How far a shard got with a batch.
#[derive(Debug)]
pub(crate) enum Progress {
    /// To its end.
    Done,
    /// To a boundary at which all shards must meet: with what they all gathered, [`Shard::settle`]
    /// judges, and then the operation `next` is due.
    Meets {
        /// Operation after the boundary.
        next: usize,
        /// End of the period, and its length in seconds.
        end: (Timestamp, u32),
        /// What this shard gathered.
        gathered: Gathered,
    },
}

impl Shard {
    /// What the shard has of the window that `op` has just ended, if anything compares by it. All
    /// shards say something or none does, because all have the same rules.
    pub(super) fn gathered(&mut self, op: Op) -> Option<Gathered> {
        let secs = u32::try_from(op.arg).unwrap_or(u32::MAX);
        if !self.compiled.is_statistical(secs) && !self.compiled.is_pooled(secs) {
            return None;
        }
        let mut gathered = Gathered::default();
        if self.compiled.is_pooled(secs) {
            self.gather_levels(op.at, secs, &mut gathered);
        }
        if secs == POOL_SECS {
            gathered.add_news(std::mem::take(&mut self.ledger.news));
        }
        for waiting in self.ledger.waiting.iter().filter(|waiting| waiting.end == op.at) {
            if let Some((fingerprint, statistic)) = self.compares(waiting, secs) {
                gathered.add(fingerprint, statistic, waiting.value);
            }
        }
        Some(gathered)
    }

    /// What things have learnt of windows that begin at `at`.
    fn gather_levels(&self, at: Timestamp, secs: u32, gathered: &mut Gathered) {
        for behavior in self.compiled.behaviors() {
            if behavior.window == Some(secs) && behavior.warm_up().is_some() {
                gathered.renews(behavior.fingerprint);
            }
        }
        for entity in &self.entities {
            let set = self.compiled.set(entity.set);
            for &order in set.warm() {
                let Some(behavior) = set.behaviors().get(usize::from(order)) else { continue };
                if behavior.window != Some(secs) {
                    continue;
                }
                let Some(Learned::Baseline(rule)) = behavior.learned() else { continue };
                let words = self.arena.run(entity.words, set.words());
                let words = words.get(set.words_of(order)).unwrap_or_default();
                if !rule.is_learning(words, at) {
                    let tell = |sum: &mut _| rule.tell_peers(words, at, sum);
                    gathered.add_level(behavior.fingerprint, set.group(), tell);
                }
            }
        }
    }

    /// What things have learnt together.
    pub(crate) const fn pools(&self) -> &Arc<Pools> {
        &self.ledger.pools
    }

    fn compares(&self, waiting: &Waiting, secs: u32) -> Option<(u64, behaviors::statistic::Statistic)> {
        let entity = self.entities.get(waiting.entity as usize / self.shards)?;
        let behavior = self.compiled.set(entity.set).behaviors().get(usize::from(waiting.order))?;
        match behavior.test {
            Test::Percentile { statistic, .. } if behavior.window == Some(secs) => {
                Some((behavior.fingerprint, statistic))
            }
            Test::Percentile { .. } | Test::Fixed(_) | Test::Learned(_) | Test::Collect => None,
        }
    }

    /// Judges the window that ended just before operation `next`, by what the fleet says of it. What
    /// is left of earlier windows, whose end was never told, is given up.
    pub(crate) fn settle(&mut self, index: usize, batch: &Batch, next: usize, met: &Met, out: &mut Out) {
        self.ledger.pools = Arc::clone(&met.pools);
        if index == 0 {
            self.ledger.counts.forgotten += met.forgotten;
        }
        let limits = &met.limits;
        let ops = batch.ops.get(index);
        let Some(&op) = ops.and_then(|ops| ops.get(next.checked_sub(1)?)) else { return };
        debug_assert_eq!(op.what, What::Boundary, "shards meet at boundaries");
        let secs = u32::try_from(op.arg).unwrap_or(u32::MAX);
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.ledger.waiting)
            .into_iter()
            .partition(|waiting| waiting.end <= op.at && self.compares(waiting, secs).is_some());
        self.ledger.waiting = later;
        for waiting in due.iter().filter(|waiting| waiting.end == op.at) {
            self.judge(op, waiting, limits, out);
        }
    }

    fn judge(&mut self, op: Op, waiting: &Waiting, limits: &FleetLimits, out: &mut Out) {
        let Some(entity) = self.entities.get(waiting.entity as usize / self.shards) else { return };
        let set = self.compiled.set(entity.set);
        let order = waiting.order;
        let Some(behavior) = set.behaviors().get(usize::from(order)) else { return };
        let Test::Percentile { op: operator, .. } = behavior.test else { return };
        let Some(limit) = limits.get(&behavior.fingerprint) else { return };
        let (run, recent) = self.slots.run_mut(entity.slots, set.slots());
        let Some(slot) = run.get_mut(usize::from(order)) else { return };
        let limit = Limit::one_sided(operator.bounds_above(), limit.bound, limit.source);
        let deciding = Deciding {
            at: waiting.end,
            value: Value::Number(waiting.value),
            attribution: attribution(waiting.who),
            start: waiting.start,
            limit,
        };
        let bound = if operator.bounds_above() { limit.high } else { limit.low };
        let point = behavior.decide(slot, deciding, operator.holds(waiting.value, bound), limit);
        let mut sink = self.ledger.sink(op, waiting.entity, entity.principal, out);
        sink.point(order, behavior, recent.get_mut(usize::from(order)), &point, None);
    }
}

const fn attribution(number: u8) -> Attribution {
    match number {
        0 => Attribution::Ambiguous,
        1 => Attribution::Address,
        _ => Attribution::Certain,
    }
}
