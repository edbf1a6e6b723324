//! `fleetward demo`: the main job with nothing set up.
//!
//! A broker of our own, a simulated fleet whose devices really speak MQTT to it, the engine with
//! the starter profiles, and the response with acting switched on. The story is a function of the
//! seed: time in it is its own (see `clock`), and it waits for a machine that is slow.

mod board;
mod clock;
mod conductor;
mod definitions;
mod limits;
mod line;
mod lines;
mod player;
mod story;
mod summary;
mod view;
mod wiring;

use std::{
    io::{self, IsTerminal as _, Write},
    time::Duration,
};

use anyhow::bail;

pub use board::Told;
use conductor::Conductor;
pub use summary::{Ending, Entry, Summary};

/// What the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoOptions {
    /// How long the story is, in wall time on a machine that keeps up; endless without it.
    pub duration: Option<Duration>,
    /// One JSON object a line instead of the live view. Without a terminal that is so anyway.
    pub json: bool,
    /// The same seed tells the same story.
    pub seed: u64,
    /// How many devices, 20 or more.
    pub devices: u32,
    /// Time of the story per wall time, 1 or more.
    pub speed: u32,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self { duration: None, json: false, seed: 7, devices: 1_000, speed: 30 }
    }
}

/// Runs the demonstration on the terminal or standard output, until its end, `q` or Ctrl-C, and
/// says what to do next.
///
/// # Errors
/// When there are not enough open files for the devices, a part cannot start, or the output fails.
pub async fn run(options: DemoOptions) -> anyhow::Result<Summary> {
    let live = !options.json && io::stdout().is_terminal();
    if !live {
        return run_to(options, Box::new(io::stdout())).await;
    }
    let summary = Conductor::start(&options, None).await?.conduct().await?;
    let mut out = io::stdout().lock();
    for line in summary.text() {
        writeln!(out, "{line}")?;
    }
    Ok(summary)
}

/// Runs the demonstration and writes one JSON object a line to `out`. A reader that goes away
/// ends it.
///
/// # Errors
/// As for [`run`].
pub async fn run_to(options: DemoOptions, out: Box<dyn Write + Send>) -> anyhow::Result<Summary> {
    Conductor::start(&options, Some(out)).await?.conduct().await
}

/// Makes sure that every device can have its connection.
fn check_limits(devices: u32) -> anyhow::Result<()> {
    let needed = limits::needed(devices.into());
    let files = limits::raise(needed);
    if files < needed {
        bail!(
            "{devices} devices need {needed} open files, and this system allows {files}; \
             try `ulimit -n {needed}`, or `--devices {}`",
            limits::devices(files)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::{Arc, Mutex},
    };

    use datasets::fleet_sim::Wrong;
    use serde_json::Value;

    use super::*;

    /// Output that a test can read afterwards.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    async fn story(seed: u64) -> (Summary, Vec<Value>) {
        let paper = Paper::default();
        // 1,020 s of the story: past the edge of the second window after all misdeeds.
        let options = DemoOptions {
            duration: Some(Duration::from_millis(8_500)),
            json: true,
            seed,
            devices: 24,
            speed: 120,
        };
        let summary = run_to(options, Box::new(paper.clone())).await.unwrap();
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        (summary, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_same_seed_tells_the_same_story_and_every_misdeed_is_noticed() {
        let (summary, lines) = story(7).await;
        assert!(summary.complete, "{summary:?}");
        assert_eq!(summary.false_alarms, 0, "{summary:?}");
        assert_eq!(summary.misdeeds.len(), Wrong::ALL.len());
        for ending in &summary.misdeeds {
            assert!(ending.noticed, "{ending:?}");
            assert_eq!(ending.quarantined, ending.wrong != Wrong::Silence, "{ending:?}");
        }
        assert!(summary.told.iter().any(|entry| entry.told.transition == "alarm-cleared"), "{summary:?}");

        let kinds: BTreeSet<&str> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["hello", "mitigation", "stats", "summary", "transition"].into());
        assert_eq!(lines[0]["kind"], "hello");
        assert_eq!(lines.last().unwrap()["kind"], "summary");
        let proofs: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "mitigation").collect();
        assert_eq!(proofs.len(), 4);
        assert!(
            proofs.iter().all(|line| line["proved"] == true && line["checks"].as_array().unwrap().len() == 4)
        );

        let (again, _) = story(7).await;
        assert_eq!(again.told, summary.told);
        assert_eq!(again.misdeeds, summary.misdeeds);
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_ends_it() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let options = DemoOptions { devices: 20, json: true, ..DemoOptions::default() };
        let summary = run_to(options, Box::new(Gone)).await.unwrap();
        assert_eq!(summary.told.len(), 0);
    }
}
