//! The automata of the AWS checks against the sheet's procedure, told anew with plain globs.

use std::collections::BTreeSet;

use audits::policy::{
    check::{misconfigured, permissive},
    parse::aws,
};
use proptest::prelude::*;

const ARN: &str = "arn:aws:iot:eu-west-1:123456789012:";

#[derive(Clone, Debug)]
struct Statement {
    deny: bool,
    actions: Vec<&'static str>,
    resources: Vec<String>,
    condition: Option<&'static str>,
}

const ATTACHED: &str = r#"{"Bool":{"iot:Connection.Thing.IsAttached":"true"}}"#;
const ADDRESS: &str = r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#;

fn statement() -> impl Strategy<Value = Statement> {
    let actions = prop::sample::subsequence(
        vec![
            "iot:Connect",
            "iot:Publish",
            "iot:Subscribe",
            "iot:Receive",
            "iot:*Shadow",
            "iotjobsdata:*",
            "iot:*",
        ],
        1..3,
    );
    let resource = prop_oneof![
        Just("*".to_owned()),
        "(client|thing)/(\\*|a\\*|\\?\\?|x)".prop_map(|rest| format!("{ARN}{rest}")),
        "(topic|topicfilter)/(\\*|\\$aws/\\*|site/\\*|site/vault/\\*|#|\\$aws/things/(\\*|a\\*|\\?\\?|\\+)(/shadow/(\\*|#|update|\\+/accepted)|/jobs/\\*|/#|\\*)?|site/(\\+|\\*|a)/vault)"
            .prop_map(|rest| format!("{ARN}{rest}")),
    ];
    let condition = prop_oneof![4 => Just(None), 1 => Just(Some(ATTACHED)), 1 => Just(Some(ADDRESS))];
    (prop::bool::weighted(0.3), actions, prop::collection::vec(resource, 1..4), condition)
        .prop_map(|(deny, actions, resources, condition)| Statement { deny, actions, resources, condition })
}

fn written(statements: &[Statement]) -> String {
    let one = |statement: &Statement| {
        let list =
            |texts: &[String]| texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(",");
        let actions: Vec<String> = statement.actions.iter().map(|action| (*action).to_owned()).collect();
        let effect = if statement.deny { "Deny" } else { "Allow" };
        let condition = statement.condition.map(|text| format!(",\"Condition\":{text}")).unwrap_or_default();
        format!(
            r#"{{"Effect":"{effect}","Action":[{}],"Resource":[{}]{condition}}}"#,
            list(&actions),
            list(&statement.resources)
        )
    };
    format!("{{\"Statement\":[{}]}}", statements.iter().map(one).collect::<Vec<_>>().join(",\n"))
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            glob(rest, text) || text.split_first().is_some_and(|(_, text)| glob(pattern, text))
        }
        (Some((b'?', rest)), Some((_, text))) => glob(rest, text),
        (Some((letter, rest)), Some((first, text))) => letter == first && glob(rest, text),
        _ => false,
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    glob(pattern.as_bytes(), text.as_bytes())
}

/// An action on a resource, by the sheet: step 6 for denials, step 5 for conditions.
fn allowed(statements: &[Statement], action: &str, kind_and_name: &str) -> bool {
    let covers = |statement: &&Statement| {
        statement.actions.iter().any(|glob| matches(&glob.to_lowercase(), &action.to_lowercase()))
            && statement.resources.iter().any(|glob| matches(glob, &format!("{ARN}{kind_and_name}")))
    };
    let denied = statements.iter().filter(|one| one.deny && one.condition.is_none()).any(|one| covers(&one));
    let counts =
        |one: &&Statement| !(one.deny || (action == "iot:Connect" && one.condition == Some(ATTACHED)));
    !denied && statements.iter().filter(counts).any(|one| covers(&one))
}

const PROBES: [(&str, &str, &[&str]); 9] = [
    ("iot:Connect", "client/", &[""]),
    (
        "iot:Publish",
        "topic/$aws/things/",
        &[
            "/shadow/update",
            "/shadow/get",
            "/shadow/delete",
            "/shadow/name/s/update",
            "/jobs/j/update",
            "/jobs/start-next",
            "/defender/metrics/json",
            "/shadow/update/accepted",
        ],
    ),
    (
        "iot:Subscribe",
        "topicfilter/$aws/things/",
        &[
            "/shadow/update",
            "/shadow/update/accepted",
            "/shadow/#",
            "/shadow/+/accepted",
            "/shadow/get/accepted",
            "/shadow/name/s/update/delta",
            "/jobs/notify",
            "/jobs/notify-next",
            "/jobs/#",
            "/#",
            "/+/+",
        ],
    ),
    ("iot:GetThingShadow", "thing/", &["", "/s"]),
    ("iot:UpdateThingShadow", "thing/", &["", "/s"]),
    ("iot:DeleteThingShadow", "thing/", &["", "/s"]),
    ("iotjobsdata:DescribeJobExecution", "thing/", &["", "/s"]),
    ("iotjobsdata:GetPendingJobExecutions", "thing/", &["", "/s"]),
    ("iotjobsdata:UpdateJobExecution", "thing/", &["", "/s"]),
];

/// Steps 7 and 8 of section 3, word by word.
fn broad(statements: &[Statement], (action, before, after): (&str, &str, &[&str])) -> bool {
    let spellings = [action.to_owned(), action.replace("iotjobsdata:", "iot:")];
    spellings.iter().any(|action| {
        let two_names = (1..=128).any(|length| {
            after.iter().any(|after| {
                ["a", "Z"].iter().all(|letter| {
                    allowed(statements, action, &format!("{before}{}{after}", letter.repeat(length)))
                })
            })
        });
        let wide = [
            "#",
            "$aws/#",
            "$aws/things/#",
            "$aws/things/+/#",
            "$aws/things/+/shadow/#",
            "$aws/things/+/shadow/update",
            "$aws/things/+/jobs/#",
        ];
        let subscribe = action == "iot:Subscribe"
            && (wide.iter().any(|filter| allowed(statements, action, &format!("topicfilter/{filter}")))
                || begins_wide(statements));
        two_names || subscribe
    })
}

fn begins_wide(statements: &[Statement]) -> bool {
    let grants = statements.iter().filter(|one| {
        !one.deny && one.actions.iter().any(|glob| matches(&glob.to_lowercase(), "iot:subscribe"))
    });
    grants.flat_map(|one| &one.resources).any(|resource| {
        let literal = resource.split(['*', '?']).next().unwrap_or_default();
        let filter = literal.strip_prefix(&format!("{ARN}topicfilter/")).unwrap_or_default();
        ["$aws/#", "$aws/+/", "$aws/things/#", "$aws/things/+"]
            .iter()
            .any(|prefix| filter.starts_with(prefix))
    })
}

/// R1 and R2 of section 4, word by word.
fn reasons(statements: &[Statement]) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for statement in statements.iter().filter(|one| one.deny) {
        for resource in &statement.resources {
            let rest = resource.strip_prefix(ARN).unwrap_or_default();
            let topic = rest.strip_prefix("topicfilter/").or(rest.strip_prefix("topic/")).unwrap_or_default();
            if topic.split('/').any(|level| level == "+" || level == "#") {
                found.insert(misconfigured::WILDCARDS);
            }
            let subscribes =
                statement.actions.iter().any(|glob| matches(&glob.to_lowercase(), "iot:subscribe"));
            if let Some(filter) =
                rest.strip_prefix("topicfilter/").filter(|filter| subscribes && *filter != "*")
                && bypassed(statements, filter)
            {
                found.insert(misconfigured::BYPASSED);
            }
        }
    }
    found
}

fn bypassed(statements: &[Statement], denied: &str) -> bool {
    let concrete: Vec<String> = denied
        .split('/')
        .flat_map(|level| match level {
            "#" => vec!["x".to_owned(), "y".to_owned()],
            "+" => vec!["x".to_owned()],
            level => vec![level.replace(['*', '?'], "x")],
        })
        .collect();
    let mut candidates = BTreeSet::from(["#".to_owned()]);
    for mask in 0..1_u32 << concrete.len() {
        let level = |(index, level): (usize, &String)| {
            if mask & 1 << index == 0 { level.clone() } else { "+".into() }
        };
        let levels: Vec<String> = concrete.iter().enumerate().map(level).collect();
        candidates.extend((1..levels.len()).map(|cut| format!("{}/#", levels[..cut].join("/"))));
        if mask != 0 {
            candidates.insert(levels.join("/"));
        }
    }
    allowed(statements, "iot:Receive", &format!("topic/{}", concrete.join("/")))
        && candidates
            .iter()
            .any(|filter| allowed(statements, "iot:Subscribe", &format!("topicfilter/{filter}")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn both_checks_decide_as_the_procedure(statements in prop::collection::vec(statement(), 1..4)) {
        let text = written(&statements);
        let policy = aws::parse("p", &text);
        prop_assert_eq!(&policy.problems, &[]);
        let (found, undecided) = permissive::broad_actions(&policy);
        prop_assert_eq!(undecided, []);
        for probes in PROBES {
            let is = found.iter().any(|(action, _)| action.aws_name() == probes.0);
            prop_assert_eq!(is, broad(&statements, probes), "{}\n{}", probes.0, text);
        }
        let codes: BTreeSet<&str> = misconfigured::reasons(&policy).0.iter().map(|(code, ..)| *code).collect();
        prop_assert_eq!(codes, reasons(&statements), "{}", text);
    }
}
