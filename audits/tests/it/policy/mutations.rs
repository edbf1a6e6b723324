//! Real files with bytes changed, lines repeated and ends cut off: nothing stops the readers, places
//! lie in the file, and nothing is answered wrongly by a proposal.

use audits::policy::{
    check::acl,
    form::{Action, Document},
    least::{self, Principal, Use},
    parse::{aws, dynsec, emqx, mosquitto, nats, rabbitmq},
};

use crate::data_set;

/// A small generator (xorshift, Marsaglia 2003); the seed is fixed, so a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }

    fn mutated(&mut self, text: &str) -> String {
        let mut letters: Vec<char> = text.chars().collect();
        let special: Vec<char> = "{}[]\"'\\/+#*?$%:,.=\n \u{0}\u{10FFFD}<>(|)^!&".chars().collect();
        for _ in 0..=self.below(6) {
            let at = self.below(letters.len());
            match self.below(5) {
                0 => letters.truncate(at),
                1 if at < letters.len() => letters[at] = special[self.below(special.len())],
                2 => letters.insert(at, special[self.below(special.len())]),
                3 if at < letters.len() => {
                    letters.remove(at);
                }
                _ => {
                    let end = (at + self.below(40)).min(letters.len());
                    let part = letters[at..end].to_vec();
                    let to = self.below(letters.len());
                    letters.splice(to..to, part);
                }
            }
        }
        letters.into_iter().collect()
    }
}

fn check(text: &str, document: &Document) {
    let lines = text.matches('\n').count() + 1;
    assert!(document.problems.iter().all(|problem| (1..=lines).contains(&problem.line)), "{text}");
    if document.subjects.len() < 6 {
        let findings = acl::audit(document, &acl::Known::default());
        assert!(findings.iter().all(|finding| finding.line() <= lines), "{text}");
    }
}

fn files(folder: &str, name: &str) -> Vec<String> {
    let mut all = Vec::new();
    let root = data_set(folder);
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let path = if path.is_dir() { path.join(name) } else { path };
        if path.file_name().is_some_and(|found| found.to_string_lossy().ends_with(name))
            && let Ok(bytes) = std::fs::read(&path)
        {
            all.push(String::from_utf8_lossy(&bytes).chars().take(3_000).collect());
        }
    }
    all.sort();
    all
}

fn each(folder: &str, name: &str, turns: usize, read: impl Fn(&str) -> Document) {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let files = files(folder, name);
    assert!(!files.is_empty());
    for turn in 0..turns {
        let text = random.mutated(&files[turn % files.len()]);
        check(&text, &read(&text));
    }
}

#[test]
fn changed_files_of_brokers() {
    each("mqtt-broker-configs", "acl", 600, |text| mosquitto::parse("f", text));
    each("mqtt-broker-configs", "acl.conf", 300, |text| emqx::parse("f", text, emqx::NoMatch::Deny));
    each("mqtt-broker-configs", "acl", 300, |text| nats::parse("f", text));
    each("mqtt-broker-configs", "definitions.json", 300, |text| rabbitmq::parse("f", text));
    each("mqtt-broker-configs", "dynamic-security.json", 300, |text| dynsec::parse("f", text));
}

#[test]
fn changed_policies_and_what_is_proposed_for_them() {
    let principal =
        Principal { thing: Some("thing-1".into()), client_id: Some("thing-1".into()), user: None };
    let uses: Vec<Use> = ["$aws/things/thing-1/shadow/get", "some/topic", "topic"]
        .into_iter()
        .map(|name| Use {
            principal: principal.clone(),
            action: Action::Publish,
            name: name.into(),
            count: 1,
        })
        .collect();
    each("aws-iot-policies", ".json", 900, |text| {
        let policy = aws::parse("f", text);
        let report = least::aws(&policy, &uses);
        assert_ne!(report.proof.subset, Ok(false), "{text}");
        assert_eq!(report.proof.used, report.proof.kept, "{text}");
        policy.document()
    });
}
