//! Findings, gathered.

use super::rule::{Rule, System};
use crate::finding::{Finding, Place, ResourceRef, Severity};

/// Findings of one audit at most; further ones are counted in the last.
const FINDINGS_MAX: usize = 10_000;

/// Where something is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct At {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl At {
    pub(super) fn file(file: &str) -> Self {
        Self { file: file.to_owned(), ..Self::default() }
    }
}

#[derive(Debug, Default)]
pub(super) struct Notes {
    list: Vec<Finding>,
    more: usize,
}

impl Notes {
    pub(super) fn add(
        &mut self,
        rule: &'static Rule,
        severity: Severity,
        system: System,
        at: At,
        reason: String,
    ) {
        if self.list.len() >= FINDINGS_MAX {
            self.more += 1;
            return;
        }
        let resource = ResourceRef::new(
            "BROKER_CONFIGURATION",
            [("file", at.file.clone()), ("system", system.name().to_owned())],
        );
        self.list.push(Finding {
            check: rule.name.into(),
            severity,
            code: rule.code.into(),
            reason,
            resource,
            related: Vec::new(),
            place: Some(Place { file: at.file, line: at.line, column: at.column }),
            remedy: rule.remedy.into(),
        });
    }

    /// A finding with the rule's own severity.
    pub(super) fn told(&mut self, rule: &'static Rule, system: System, at: &At, reason: String) {
        self.add(rule, rule.severity, system, at.clone(), reason);
    }

    pub(super) fn finish(mut self) -> Vec<Finding> {
        let key = |finding: &Finding| (finding.place.clone(), finding.check.clone(), finding.reason.clone());
        self.list.sort_by_cached_key(key);
        self.list.dedup();
        if self.more > 0
            && let Some(last) = self.list.last_mut()
        {
            last.reason = format!("{} (and {} more findings)", last.reason, self.more);
        }
        self.list
    }
}
