use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    time::Duration,
};

use detector::input::{Format, SourceId};

use super::{super::LINE_BYTES_MAX, *};

/// A log file in a folder of its own, and a follower that is stepped by hand.
struct Bench {
    folder: tempfile::TempDir,
    follower: Follower,
    now: i64,
}

impl Bench {
    fn new(start: Start) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), start)
    }

    fn in_folder(folder: tempfile::TempDir, start: Start) -> Self {
        let path = folder.path().join("log");
        let mut settings = Settings::new(path, SourceId(1), Format::MosquittoLog, start);
        settings.partial_wait = Duration::from_secs(5);
        settings.gap_mark = b"<gap>";
        let follower = Follower::new(settings, Arc::default());
        Self { folder, follower, now: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, text: impl AsRef<[u8]>) {
        append(&self.path("log"), text.as_ref());
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Steps until there is nothing more to do.
    fn tailed(&mut self) -> Vec<Tailed> {
        let mut out = Vec::new();
        while self.follower.step(Timestamp::from_secs(self.now), &mut out).unwrap() == Progress::More {}
        out
    }

    /// What was handed on, as text: lines with their positions, `+` for a file, `caught-up`, `gap`.
    fn read(&mut self) -> String {
        let mut words = Vec::new();
        for tailed in self.tailed() {
            match tailed {
                Tailed::Opened { .. } => words.push("+".to_owned()),
                Tailed::CaughtUp => words.push("caught-up".to_owned()),
                Tailed::Gap { .. } => words.push("gap".to_owned()),
                Tailed::Lines(inputs) => words.extend(inputs.iter().map(|input| {
                    let line = String::from_utf8_lossy(&input.payload);
                    format!("{}@{}", line.get(..20).unwrap_or(&line), input.position)
                })),
            }
        }
        words.join(" ")
    }

    fn stop(self) -> tempfile::TempDir {
        self.folder
    }
}

fn append(path: &Path, text: &[u8]) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text).unwrap();
}

/// Reads all of `log` and gives the place to resume after the last line.
fn resume_point(bench: &mut Bench) -> Start {
    let (mut position, mut identity) = (0, Vec::new());
    for tailed in bench.tailed() {
        match tailed {
            Tailed::Opened { identity: opened } => identity = opened,
            Tailed::Lines(inputs) => position = inputs.last().unwrap().position,
            Tailed::CaughtUp | Tailed::Gap { .. } => {}
        }
    }
    Start::After { position, identity }
}

#[test]
fn a_backlog_is_read_before_caught_up_and_then_what_is_appended() {
    let mut bench = Bench::new(Start::Beginning);
    bench.append("a\nbb\n\n");
    assert_eq!(bench.read(), "+ a@2 bb@5 caught-up");
    assert_eq!(bench.read(), "");
    bench.append("c\r\n");
    assert_eq!(bench.read(), "c\r@9");
}

#[test]
fn a_file_that_appears_later_is_read_from_its_beginning() {
    for start in [Start::Beginning, Start::End] {
        let mut bench = Bench::new(start);
        assert_eq!(bench.read(), "caught-up");
        bench.append("a\n");
        assert_eq!(bench.read(), "+ a@2");
    }
}

#[test]
fn from_the_end_only_whole_new_lines_are_read() {
    for (old, new, expected) in [("a\n", "b\n", "+ b@4"), ("a\nhal", "f\nb\n", "+ b@9")] {
        let bench = Bench::new(Start::End);
        bench.append(old);
        let mut bench = bench;
        assert_eq!(bench.read(), "+ caught-up");
        bench.append(new);
        assert_eq!(format!("+ {}", bench.read()), expected);
    }
}

#[test]
fn an_unfinished_line_waits_for_its_end_but_not_forever() {
    let mut bench = Bench::new(Start::Beginning);
    bench.append("a\nhal");
    assert_eq!(bench.read(), "+ a@2 caught-up");
    bench.now += 4;
    assert_eq!(bench.read(), "");
    bench.append("f\nun");
    assert_eq!(bench.read(), "half@7");
    bench.now += 5;
    assert_eq!(bench.read(), "un@9");
    bench.append("til\n");
    assert_eq!(bench.read(), "til@13");
}

#[test]
fn long_lines_are_cut_and_counted() {
    let mut bench = Bench::new(Start::Beginning);
    for extra in [0, 1, 300_000] {
        bench.append(vec![b'x'; LINE_BYTES_MAX + extra]);
        bench.append("\n");
    }
    bench.append("a\n");
    let lengths: Vec<usize> = bench
        .tailed()
        .iter()
        .flat_map(|tailed| match tailed {
            Tailed::Lines(inputs) => inputs.iter().map(|input| input.payload.len()).collect(),
            _ => Vec::new(),
        })
        .collect();
    assert_eq!(lengths, [LINE_BYTES_MAX, LINE_BYTES_MAX, LINE_BYTES_MAX, 1]);
    assert_eq!(bench.follower.status.counts().cut_lines, 2);
}

#[test]
fn rotation_by_renaming_reads_the_old_file_to_its_end() {
    let mut bench = Bench::new(Start::Beginning);
    bench.append("a\n");
    assert_eq!(bench.read(), "+ a@2 caught-up");
    bench.rename("log", "log.1");
    append(&bench.path("log.1"), b"b\n");
    assert_eq!(bench.read(), "b@4", "the new file is not there yet");
    fs::write(bench.path("log"), "").unwrap();
    append(&bench.path("log.1"), b"c\n");
    assert_eq!(bench.read(), "c@6", "the new file is empty: the broker still has the old one");
    append(&bench.path("log.1"), b"d");
    bench.append("e\n");
    assert_eq!(bench.read(), "d@7 + e@2");
    assert_eq!(bench.follower.status.counts().rotations, 1);
}

#[test]
fn two_rotations_between_two_looks_lose_nothing() {
    let mut bench = Bench::new(Start::Beginning);
    bench.append("a\n");
    assert_eq!(bench.read(), "+ a@2 caught-up");
    bench.rename("log", "log.1");
    bench.append("b\n");
    bench.rename("log.1", "log.2");
    bench.rename("log", "log.1");
    bench.append("c\n");
    assert_eq!(bench.read(), "+ b@2 + c@2");
}

#[test]
fn rotation_by_copy_and_truncation_reads_the_copy_to_its_end() {
    let mut bench = Bench::new(Start::Beginning);
    bench.append("a\n");
    assert_eq!(bench.read(), "+ a@2 caught-up");
    for (new, expected) in
        [("c\n", "+ b@4 + c@2"), ("much longer than before\n", "+ b@4 + much longer than bef@24")]
    {
        let mut bench = Bench::new(Start::Beginning);
        bench.append("a\n");
        bench.read();
        bench.append("b\n");
        fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
        fs::write(bench.path("log"), new).unwrap();
        assert_eq!(bench.read(), expected);
    }
}

#[test]
fn truncation_without_a_copy_is_a_gap() {
    let mut bench = Bench::new(Start::Beginning);
    bench.append("a\nb\n");
    assert_eq!(bench.read(), "+ a@2 b@4 caught-up");
    fs::write(bench.path("log"), "c\n").unwrap();
    assert_eq!(bench.read(), "gap <gap>@0 + c@2");
    assert_eq!(bench.follower.status.counts().gaps, 1);
}

#[test]
fn a_restart_goes_on_exactly_after_the_last_line() {
    let mut bench = Bench::new(Start::Beginning);
    bench.append("a\nb\n");
    let start = resume_point(&mut bench);
    let folder = bench.stop();
    append(&folder.path().join("log"), b"c\n");
    let mut bench = Bench::in_folder(folder, start.clone());
    let tailed = bench.tailed();
    let Start::After { identity, .. } = start else { unreachable!() };
    assert_eq!(tailed.first(), Some(&Tailed::Opened { identity }), "the same file has the same identity");
    assert!(matches!(&tailed[1], Tailed::Lines(inputs) if inputs.len() == 1 && inputs[0].position == 6));
}

#[test]
fn a_restart_finds_files_rotated_while_it_was_down() {
    let mut bench = Bench::new(Start::Beginning);
    bench.append("a\nb\n");
    let start = resume_point(&mut bench);
    bench.append("c\n");
    bench.rename("log", "log.2");
    append(&bench.path("log.1"), b"d\n");
    bench.append("e\n");
    let mut bench = Bench::in_folder(bench.stop(), start.clone());
    assert_eq!(bench.read(), "+ c@6 + d@2 + e@2 caught-up");
    fs::remove_file(bench.path("log.2")).unwrap();
    let mut bench = Bench::in_folder(bench.stop(), start);
    assert_eq!(bench.read(), "gap <gap>@0 + e@2 caught-up");
    let unknown = Start::After { position: 7, identity: b"?".to_vec() };
    let mut bench = Bench::in_folder(bench.stop(), unknown);
    assert_eq!(bench.read(), "gap <gap>@0 + e@2 caught-up");
}

#[test]
fn a_restart_after_truncation_finds_the_copy() {
    let mut bench = Bench::new(Start::Beginning);
    bench.append("a\nb\n");
    let start = resume_point(&mut bench);
    bench.append("c\n");
    fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
    fs::write(bench.path("log"), "d\n").unwrap();
    let mut bench = Bench::in_folder(bench.stop(), start);
    assert_eq!(bench.read(), "+ c@6 + d@2 caught-up");
}

proptest::proptest! {
    /// However the bytes arrive, the lines and positions are the same.
    #[test]
    fn chunks_do_not_matter(
        lines in proptest::collection::vec("[a-z]{0,9}", 1..20),
        cuts in proptest::collection::vec(0_usize..9, 1..30),
    ) {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let mut expected = Vec::new();
        Splitter::default().push(text.as_bytes(), |line, taken| expected.push((line.to_vec(), taken)));
        let (mut splitter, mut found, mut rest) = (Splitter::default(), Vec::new(), text.as_bytes());
        for cut in cuts {
            let (head, tail) = rest.split_at(cut.min(rest.len()));
            splitter.push(head, |line, taken| found.push((line.to_vec(), taken)));
            rest = tail;
        }
        splitter.push(rest, |line, taken| found.push((line.to_vec(), taken)));
        assert_eq!(found, expected);
    }
}
