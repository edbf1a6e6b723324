//! Starting the worker, and reading Parquet with another program.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

pub(crate) fn start(subcommand: &str, request: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fleetward-analyst"))
        .arg(subcommand)
        .env("POLARS_MAX_THREADS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A worker that refuses its arguments ends without reading; its exit code tells.
    child.stdin.take().unwrap().write_all(request.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

/// The lines of an answer, the last of them without its `done`.
#[track_caller]
pub(crate) fn ask(subcommand: &str, request: &Value) -> (Vec<Value>, Value) {
    let output = start(subcommand, &request.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let done = lines.pop().unwrap()["done"].take();
    assert!(!done.is_null());
    (lines, done)
}

/// What pyarrow finds in a table of the lake: the columns with their types, and the rows in the
/// order of files, times as milliseconds.
pub(crate) fn pyarrow(table: &Path) -> (Value, Vec<Value>) {
    const PROGRAM: &str = r#"
import datetime, glob, json, sys
import pyarrow.dataset as ds, pyarrow.parquet as pq
root = sys.argv[1]
dataset = ds.dataset(root, format="parquet", partitioning="hive")
print(json.dumps({field.name: str(field.type) for field in dataset.schema}))
epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
def plain(value):
    if isinstance(value, datetime.datetime):
        return (value - epoch) // datetime.timedelta(milliseconds=1)
    return value
for path in sorted(glob.glob(root + "/day=*/*.parquet")):
    for row in pq.ParquetFile(path).read().to_pylist():
        row = {name: plain(value) for name, value in row.items()}
        row["day"] = path.split("day=")[1].split("/")[0]
        print(json.dumps(row))
"#;
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment which Python to use")]
    let python = std::env::var("FLEETWARD_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let output = Command::new(python).args(["-c", PROGRAM]).arg(table).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (lines.remove(0), lines)
}
