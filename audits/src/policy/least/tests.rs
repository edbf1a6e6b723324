//! Unused grants and tighter policies, from small histories.

use proptest::prelude::*;

use super::*;
use crate::policy::{
    form::Action,
    parse::{aws as aws_parse, mosquitto as acl_parse},
};

fn used(who: &str, action: Action, name: &str) -> Use {
    let name_of = Some(who.to_owned());
    let principal = Principal { thing: name_of.clone(), client_id: name_of.clone(), user: name_of };
    Use { principal, action, name: name.to_owned(), count: 1 }
}

fn policy(statements: &str) -> aws_parse::AwsPolicy {
    let text = format!("{{\"Version\":\"2012-10-17\",\"Statement\":[\n{statements}\n]}}");
    let policy = aws_parse::parse("p.json", &text.replace("A:", "arn:aws:iot:eu-west-1:123456789012:"));
    assert_eq!(policy.problems, []);
    policy
}

const WIDE: &str = r#"{"Effect":"Allow","Action":"iot:Connect","Resource":"A:client/*"},
{"Effect":"Allow","Action":["iot:Publish","iot:Receive"],"Resource":["A:topic/devices/*","A:topic/old/*"]},
{"Effect":"Deny","Action":"iot:Publish","Resource":"A:topic/devices/*/secret"},
{"Effect":"Allow","Action":"iot:Subscribe","Resource":"A:topicfilter/*","Condition":{"Bool":{"iot:Connection.Thing.IsAttached":"true"}}}"#;

#[test]
fn a_wide_policy_becomes_what_was_used() {
    let uses = [
        used("cam-1", Action::Connect, "cam-1"),
        used("cam-2", Action::Connect, "cam-2"),
        used("cam-1", Action::Publish, "devices/cam-1/up"),
        used("cam-2", Action::Publish, "devices/cam-2/up"),
        used("cam-2", Action::Publish, "devices/cam-2/secret"),
        used("cam-1", Action::Subscribe, "devices/cam-1/in/#"),
        used("cam-1", Action::Receive, "devices/cam-1/in/x"),
    ];
    let report = aws(&policy(WIDE), &uses);
    assert_eq!(report.proof, Proof { subset: Ok(true), used: 6, kept: 6, refused: 1 });
    let expected = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Deny",
      "Action": [
        "iot:Publish"
      ],
      "Resource": [
        "A:topic/devices/*/secret"
      ]
    },
    {
      "Effect": "Allow",
      "Action": [
        "iot:Connect"
      ],
      "Resource": [
        "A:client/${iot:Connection.Thing.ThingName}"
      ]
    },
    {
      "Effect": "Allow",
      "Action": [
        "iot:Publish"
      ],
      "Resource": [
        "A:topic/devices/${iot:Connection.Thing.ThingName}/up"
      ]
    },
    {
      "Effect": "Allow",
      "Action": [
        "iot:Receive"
      ],
      "Resource": [
        "A:topic/devices/${iot:Connection.Thing.ThingName}/in/x"
      ]
    },
    {
      "Effect": "Allow",
      "Action": [
        "iot:Subscribe"
      ],
      "Resource": [
        "A:topicfilter/devices/${iot:Connection.Thing.ThingName}/in/#"
      ],
      "Condition": {
        "Bool": {
          "iot:Connection.Thing.IsAttached": "true"
        }
      }
    }
  ]
}"#;
    assert_eq!(report.proposal.unwrap(), expected.replace("A:", "arn:aws:iot:eu-west-1:123456789012:"));
    let unused: Vec<(usize, &str, &str)> = report
        .unused
        .iter()
        .map(|unused| (unused.line, unused.action, unused.grant.rsplit(':').next().unwrap()))
        .collect();
    assert_eq!(unused, [(3, "iot:Publish", "topic/old/*"), (3, "iot:Receive", "topic/old/*")]);
}

#[test]
fn many_topics_are_put_together_and_never_past_the_old_grant() {
    let uses: Vec<Use> =
        (0..20).map(|index| used("cam-1", Action::Publish, &format!("devices/room{index}/up"))).collect();
    let report = aws(&policy(WIDE), &uses);
    assert!(report.proof.holds() && report.proposal.unwrap().contains("topic/devices/*/up"));
    let narrow = policy(r#"{"Effect":"Allow","Action":"iot:Publish","Resource":"A:topic/devices/room?/up"}"#);
    let uses: Vec<Use> =
        (0..10).map(|index| used("c", Action::Publish, &format!("devices/room{index}/up"))).collect();
    let report = aws(&narrow, &uses);
    assert!(
        report.proof.holds() && report.proposal.unwrap().contains("topic/devices/room?/up"),
        "the old grant stays"
    );
}

#[test]
fn nothing_used_is_nothing_granted() {
    let report = aws(&policy(WIDE), &[]);
    assert_eq!(report.proof, Proof { subset: Ok(true), used: 0, kept: 0, refused: 0 });
    assert_eq!(report.unused.len(), 6);
}

const ACL: &str = "# fleet\ntopic read news\nuser a\ntopic readwrite f/#\ntopic deny f/secret\ntopic write old/#\npattern readwrite d/%u/#\npattern read #\n";

#[test]
fn an_acl_file_keeps_its_order_and_its_denials() {
    let uses = [
        used("a", Action::Receive, "f/1"),
        used("a", Action::Publish, "f/1"),
        used("a", Action::Publish, "f/2"),
        used("a", Action::Publish, "f/secret"),
        used("b", Action::Publish, "d/b/up"),
        used("c", Action::Publish, "d/c/up"),
        used("c", Action::Receive, "d/c/in"),
    ];
    let report = mosquitto(&acl_parse::parse("acl", ACL), ACL, &uses);
    assert_eq!(report.proof, Proof { subset: Ok(true), used: 6, kept: 6, refused: 1 });
    assert_eq!(
        report.proposal.unwrap(),
        "# fleet\nuser a\ntopic readwrite f/1\ntopic write f/2\ntopic deny f/secret\npattern read d/%u/in\npattern write d/%u/up\n"
    );
    let unused: Vec<(usize, &str)> =
        report.unused.iter().map(|unused| (unused.line, unused.action)).collect();
    assert_eq!(unused, [(2, "read"), (6, "write"), (8, "read")]);
}

#[test]
fn many_topics_of_an_acl_become_levels() {
    let uses: Vec<Use> = (0..20).map(|index| used("a", Action::Receive, &format!("f/{index}/t"))).collect();
    let report = mosquitto(&acl_parse::parse("acl", ACL), ACL, &uses);
    assert!(report.proof.holds());
    assert!(report.proposal.unwrap().contains("topic read f/+/t\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the policy and the history, what is proposed is proven.
    #[test]
    fn proposals_of_policies_hold(
        globs in prop::collection::vec("(d|x|\\*)/([a-c*?]{0,2})/?(up|\\*)?", 1..4),
        denied in prop::option::of("d/[a-c*]{0,2}/up"),
        names in prop::collection::vec("(d|x)/[a-d]{1,2}/(up|in)", 0..30),
    ) {
        let resources: Vec<String> = globs.iter().map(|glob| format!("\"A:topic/{glob}\"")).collect();
        let mut text = format!(r#"{{"Effect":"Allow","Action":"iot:*","Resource":[{}]}}"#, resources.join(","));
        if let Some(denied) = denied {
            text.push_str(&format!(r#",{{"Effect":"Deny","Action":"iot:Publish","Resource":"A:topic/{denied}"}}"#));
        }
        let uses: Vec<Use> = names.iter().map(|name| used("a", Action::Publish, name)).collect();
        let report = aws(&policy(&text), &uses);
        prop_assert!(report.proof.holds(), "{:?}\n{}", report.proof, text);
        prop_assert_eq!(report.proof.used + report.proof.refused, uses.len());
    }

    #[test]
    fn proposals_of_acl_files_hold(
        lines in prop::collection::vec("(user [ab]|(topic|pattern) (read |write |deny |)(d|\\+)/(%u|[ab]|\\+)(/#|/t)?)", 0..8),
        names in prop::collection::vec("(d|x)/[a-c](/t)?", 0..30),
        who in "[a-c]",
    ) {
        let text = lines.join("\n");
        let actions = [Action::Publish, Action::Receive].into_iter().cycle();
        let uses: Vec<Use> = names.iter().zip(actions).map(|(name, action)| used(&who, action, name)).collect();
        let report = mosquitto(&acl_parse::parse("acl", &text), &text, &uses);
        prop_assert!(report.proof.holds(), "{:?}\n{}", report.proof, text);
    }
}
