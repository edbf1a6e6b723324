//! The control plane over a real store, with time as an argument.

use std::sync::Mutex as StdMutex;

use fleet::{ids::ThingName, store};
use tempfile::TempDir;

use super::*;
use crate::aws::model::Model;

/// A control plane whose store outlives it.
struct Bench {
    dir: TempDir,
    store: Arc<dyn Store>,
}

/// What the engine was told.
#[derive(Default)]
struct Told {
    profiles: StdMutex<Vec<Vec<(String, String)>>>,
    registry: StdMutex<Registry>,
}

impl Engine for Told {
    fn set_profiles(&self, texts: Vec<(String, String)>) -> BoxFuture<'_, Result<(), String>> {
        self.profiles.lock().unwrap().push(texts);
        Box::pin(async { Ok(()) })
    }
    fn patch_registry(&self, patch: RegistryPatch) -> BoxFuture<'_, Result<(), String>> {
        let mut registry = self.registry.lock().unwrap();
        *registry = patch(&registry);
        Box::pin(async { Ok(()) })
    }
    fn metric_values(&self, wanted: &MetricValues) -> Result<Value, ApiError> {
        // Four values a minute apart, of which those after `from` are given.
        let ends = (1..=4).map(|n| n * 60_000).filter(|end| (wanted.from..wanted.to).contains(end));
        let value = |end| json!({"end": end, "windowSecs": 60, "aggregate": "sum", "number": 1.0});
        Ok(json!({"values": ends.map(value).collect::<Vec<_>>()}))
    }
}

const BASE: &str = r#"{"things": {"filed": {"groups": ["quarantine"]}}, "groups": {"quarantine": {}}}"#;
const FILE: &str = r#"{"securityProfileName": "filed", "behaviors": []}"#;

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = store::open(store::Engine::Redb, &dir.path().join("store")).unwrap();
        Self { dir, store: Arc::from(store) }
    }

    fn try_open(&self, file: &str) -> Result<Arc<Plane>, PlaneError> {
        let names = Names { region: "r-1".into(), account: "123456789012".into(), broker: None };
        let files = vec![("filed.json".to_owned(), file.to_owned())];
        let base = serde_json::from_str(BASE).unwrap();
        let log = self.dir.path().join("control.log");
        Plane::open(Arc::clone(&self.store), &log, names, files, base).map(Arc::new)
    }

    fn open(&self) -> Arc<Plane> {
        self.try_open(FILE).unwrap()
    }
}

async fn ask_at(plane: &Arc<Plane>, secs: i64, name: &str, members: Value) -> Result<Value, Fault> {
    let (name, operation) = Model::get().operations.get_key_value(name).unwrap();
    let Value::Object(members) = members else { panic!("no object") };
    crate::aws::validate::check(operation, &members)?;
    let now = Timestamp::from_secs(secs);
    let call = Call { name, operation, members, caller: "ann".into(), request: "r".into(), now };
    plane.call(call).await.map(|answer| shape::output(operation, answer))
}

async fn ask(plane: &Arc<Plane>, name: &str, members: Value) -> Value {
    ask_at(plane, 1000, name, members).await.unwrap()
}

async fn refused(plane: &Arc<Plane>, secs: i64, name: &str, members: Value) -> &'static str {
    ask_at(plane, secs, name, members).await.unwrap_err().kind
}

#[test]
fn every_operation_that_is_offered_is_in_the_table_and_is_offered_once() {
    let offered = offered();
    assert!(offered.iter().all(|name| Model::get().operations.contains_key(*name)));
    assert!(offered.windows(2).all(|pair| pair[0] < pair[1]), "{offered:?}");
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_and_in_the_record() {
    let bench = Bench::new();
    let before = bench.open();
    ask(&before, "CreateThingGroup", json!({"thingGroupName": "g"})).await;
    ask(&before, "CreateThingType", json!({"thingTypeName": "t"})).await;
    ask(&before, "CreateThing", json!({"thingName": "a", "thingTypeName": "t"})).await;
    ask(&before, "AddThingToThingGroup", json!({"thingName": "a", "thingGroupName": "g"})).await;
    ask(
        &before,
        "CreateSecurityProfile",
        json!({"securityProfileName": "p", "tags": [{"Key": "k", "Value": "v"}]}),
    )
    .await;
    let target = "arn:aws:iot:r-1:123456789012:thinggroup/g";
    let attach = json!({"securityProfileName": "p", "securityProfileTargetArn": target});
    ask(&before, "AttachSecurityProfile", attach).await;
    let document =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;
    ask(&before, "CreatePolicy", json!({"policyName": "y", "policyDocument": document})).await;
    ask(&before, "AttachPolicy", json!({"policyName": "y", "target": target})).await;

    let looks = [
        ("DescribeThing", json!({"thingName": "a"})),
        ("ListThingsInThingGroup", json!({"thingGroupName": "g"})),
        ("ListThingGroupsForThing", json!({"thingName": "a"})),
        ("DescribeSecurityProfile", json!({"securityProfileName": "p"})),
        ("ListTargetsForSecurityProfile", json!({"securityProfileName": "p"})),
        ("ListTargetsForPolicy", json!({"policyName": "y"})),
        ("ListAttachedPolicies", json!({"target": target})),
        ("ListTagsForResource", json!({"resourceArn": "arn:aws:iot:r-1:123456789012:securityprofile/p"})),
    ];
    let mut told = Vec::new();
    for (name, members) in &looks {
        told.push(ask(&before, name, members.clone()).await);
    }
    let (registry, texts, head) = (before.registry(), before.profile_texts(), before.record_head());
    assert_eq!(head.seq, 8);
    drop(before);

    let after = bench.open();
    for ((name, members), told) in looks.iter().zip(&told) {
        assert_eq!(ask(&after, name, members.clone()).await, *told, "{name}");
    }
    assert_eq!((after.registry(), after.profile_texts()), (registry.clone(), texts));
    assert!(registry.is_member("a", &"g".parse().unwrap()) && registry.things.contains_key("filed"));
    let log = bench.dir.path().join("control.log");
    assert_eq!(mitigations::log::verify_log(&log, Some(&head)).unwrap(), head);
    assert!(
        std::fs::read_to_string(log)
            .unwrap()
            .contains(r#""operation":"CreateThing","by":"ann","requestId":"r""#)
    );
}

#[tokio::test]
async fn what_changes_nothing_leaves_no_line() {
    let bench = Bench::new();
    let plane = bench.open();
    for _ in 0..2 {
        ask(&plane, "CreateThing", json!({"thingName": "a"})).await;
        ask(&plane, "DeleteThing", json!({"thingName": "never"})).await;
    }
    assert_eq!(
        refused(&plane, 1000, "CreateThing", json!({"thingName": "b", "thingTypeName": "x"})).await,
        "ResourceNotFoundException"
    );
    assert_eq!(plane.record_head().seq, 1);
}

#[tokio::test]
async fn the_engine_hears_of_profiles_before_the_answer_and_of_things_soon_after() {
    let bench = Bench::new();
    let (plane, told) = (bench.open(), Arc::new(Told::default()));
    *told.registry.lock().unwrap() = plane.registry();
    plane.attach(Arc::clone(&told) as Arc<dyn Engine>);
    ask(&plane, "CreateSecurityProfile", json!({"securityProfileName": "p"})).await;
    let names: Vec<String> =
        told.profiles.lock().unwrap().last().unwrap().iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, ["filed.json", "api:securityprofile/p"]);

    ask(&plane, "CreateThingGroup", json!({"thingGroupName": "g"})).await;
    ask(&plane, "CreateThing", json!({"thingName": "a"})).await;
    ask(&plane, "AddThingToThingGroup", json!({"thingName": "a", "thingGroupName": "g"})).await;
    let following = tokio::spawn({
        let plane = Arc::clone(&plane);
        async move { plane.follow().await }
    });
    let member = |group: &str| told.registry.lock().unwrap().is_member("a", &group.parse().unwrap());
    while !member("g") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A mitigation puts the thing into a group of the files; what the API changes leaves that alone.
    {
        let mut registry = told.registry.lock().unwrap();
        *registry = std::mem::take(&mut *registry)
            .with_member(&"a".parse::<ThingName>().unwrap(), &"quarantine".parse().unwrap());
    }
    ask(&plane, "DeleteThingGroup", json!({"thingGroupName": "g"})).await;
    while member("g") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(member("quarantine") && told.registry.lock().unwrap().clone().validated().is_ok());
    following.abort();
}

/// Who broke off the connection after the change was taken still has a profile that detects.
#[tokio::test]
async fn a_change_reaches_the_engine_when_its_caller_has_gone() {
    let bench = Bench::new();
    let (plane, told) = (bench.open(), Arc::new(Told::default()));
    plane.attach(Arc::clone(&told) as Arc<dyn Engine>);
    let gone = tokio::time::timeout(
        Duration::ZERO,
        ask_at(&plane, 1000, "CreateSecurityProfile", json!({"securityProfileName": "p"})),
    );
    assert!(gone.await.is_err());
    while told.profiles.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ask(&plane, "DescribeSecurityProfile", json!({"securityProfileName": "p"})).await;
}

#[tokio::test]
async fn files_and_store_must_fit_together() {
    let bench = Bench::new();
    let plane = bench.open();
    let taken = json!({"securityProfileName": "filed"});
    assert_eq!(refused(&plane, 1000, "CreateSecurityProfile", taken).await, "InvalidRequestException");
    ask(&plane, "CreateSecurityProfile", json!({"securityProfileName": "p"})).await;
    let clash = vec![("p.json".to_owned(), r#"{"securityProfileName": "p", "behaviors": []}"#.to_owned())];
    assert!(matches!(plane.reload(clash, Registry::default()), Err(PlaneError::Conflict(_))));
    assert!(plane.registry().things.contains_key("filed"), "the old files stay");
    drop(plane);
    let clash = bench.try_open(r#"{"securityProfileName": "p", "behaviors": []}"#);
    assert!(matches!(clash, Err(PlaneError::Conflict(message)) if message.contains('p')));
}

#[tokio::test]
async fn a_thing_type_can_go_five_minutes_after_it_was_deprecated() {
    let bench = Bench::new();
    let plane = bench.open();
    let name = json!({"thingTypeName": "t"});
    ask(&plane, "CreateThingType", name.clone()).await;
    ask(&plane, "CreateThing", json!({"thingName": "a", "thingTypeName": "t"})).await;
    ask_at(&plane, 2000, "DeprecateThingType", name.clone()).await.unwrap();
    assert_eq!(refused(&plane, 2299, "DeleteThingType", name.clone()).await, "InvalidRequestException");
    assert_eq!(
        refused(&plane, 2300, "DeleteThingType", name.clone()).await,
        "InvalidRequestException",
        "in use"
    );
    ask(&plane, "DeleteThing", json!({"thingName": "a"})).await;
    ask_at(&plane, 2300, "DeleteThingType", name.clone()).await.unwrap();
    assert_eq!(refused(&plane, 2300, "DescribeThingType", name).await, "ResourceNotFoundException");
}

#[tokio::test]
async fn values_are_paged_by_the_ends_of_their_windows() {
    let bench = Bench::new();
    let plane = bench.open();
    plane.attach(Arc::new(Told::default()));
    let mut members =
        json!({"thingName": "a", "metricName": "aws:m", "startTime": 60, "endTime": 180, "maxResults": 2});
    let first = ask(&plane, "ListMetricValues", members.clone()).await;
    let times = |answer: &Value| -> Vec<f64> {
        answer["metricDatumList"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["timestamp"].as_f64().unwrap())
            .collect()
    };
    assert_eq!(times(&first), [60.0, 120.0]);
    members["nextToken"] = first["nextToken"].clone();
    let second = ask(&plane, "ListMetricValues", members).await;
    assert!(times(&second) == [180.0] && second.get("nextToken").is_none(), "{second}");
}

#[tokio::test]
async fn a_secret_is_not_in_the_record() {
    // No request of the operations offered has one; the rule is that of the model.
    let operation = &Model::get().operations["GetThingConnectivityData"];
    let members = json!({"thingName": "hidden-1"});
    let shown = shape::shown_input(operation, members.as_object().unwrap());
    assert_eq!(shown, json!({"thingName": "(hidden)"}));
}

/// `docs/api-operations.md` says what the tables say.
#[test]
fn page_of_the_operations() {
    use std::fmt::Write as _;
    let (offered, model) = (offered(), Model::get());
    let mut page = format!(
        "# Operations of the API\n\nMade from the tables by a test. {} of {} are backed; the others answer\n\
         `501 NotImplementedException`. [api.md](api.md) says what stands behind them.\n\n\
         | operation | request | backed | least role |\n|---|---|---|---|\n",
        offered.len(),
        model.operations.len()
    );
    for (name, operation) in &model.operations {
        let backed = if offered.contains(&name.as_str()) { "yes" } else { "" };
        let (method, path, role) = (&operation.method, &operation.path, allow::least(name).name());
        writeln!(page, "| {name} | `{method} {path}` | {backed} | {role} |").unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api-operations.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(page == expected, "{} differs; set UPDATE_GOLDEN=1 to accept it", path.display());
}
