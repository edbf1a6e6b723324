//! The report as JSON.

use serde_json::{Value, json};

use super::super::figure::Judgement;
use super::super::practice::{Pillar, Priority};
use super::super::question::question;
use super::super::review::{Answer, Counts, Item, Review, Verdict};
use super::FORMAT;

pub(super) fn value(review: &Review) -> Value {
    let mut report = json!({
        "format": FORMAT,
        "day": review.day,
        "sources": review.sources,
        "summary": Counts::of(&review.items),
        "pillars": Pillar::ALL.map(|pillar| of_pillar(review, pillar)),
        "practices": review.items.iter().map(|item| of_item(review, item)).collect::<Vec<_>>(),
    });
    if let Some(members) = report.as_object_mut() {
        if let Some(workload) = &review.workload {
            let mut workload = json!(workload);
            if let Some(pillars) = workload.get_mut("pillars") {
                let named = review.workload.as_ref().map(|workload| &workload.pillars);
                *pillars = named.into_iter().flatten().map(|pillar| pillar.name()).collect();
            }
            members.insert("workload".to_owned(), workload);
        }
        if let Some(difference) = &review.difference {
            members.insert("difference".to_owned(), json!(difference));
        }
    }
    report
}

fn of_pillar(review: &Review, pillar: Pillar) -> Value {
    let own = review.items.iter().filter(|item| item.practice.pillar == pillar);
    let by_priority = Priority::ALL.map(|priority| {
        let items = own.clone().filter(|item| item.practice.priority == priority);
        json!({"priority": priority.name(), "counts": Counts::of(items)})
    });
    json!({
        "pillar": pillar.name(),
        "matters": review.matters(pillar),
        "counts": Counts::of(own.clone()),
        "byPriority": by_priority,
    })
}

fn of_item(review: &Review, item: &Item) -> Value {
    let row = item.practice;
    json!({
        "id": row.id,
        "pillar": row.pillar.name(),
        "question": row.question,
        "questionText": question(row.question),
        "priority": row.priority.name(),
        "title": row.title,
        "how": row.how,
        "verdict": item.verdict,
        "decidedBy": item.decided_by,
        "reason": (item.verdict == Verdict::Unanswered).then_some(item.reason),
        "contradiction": item.contradiction,
        "evidence": item.evidence.as_ref().map(of_evidence),
        "answer": item.answer.as_ref().map(|answer| of_answer(answer, review.is_old(answer))),
    })
}

fn of_evidence(judgement: &Judgement) -> Value {
    json!({"verdict": judgement.verdict, "figures": judgement.figures})
}

fn of_answer(answer: &Answer, is_old: bool) -> Value {
    json!({
        "verdict": answer.verdict,
        "who": answer.who,
        "when": answer.when,
        "isOld": is_old,
        "note": answer.note,
        "evidence": answer.evidence,
        "overrules": answer.overrules,
    })
}
