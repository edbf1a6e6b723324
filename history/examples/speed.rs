//! What a history of many things costs and how fast it answers:
//! `cargo run --release -p history --example speed [THINGS [METRICS [DAYS]]]` (10,000 things, 4
//! metrics, 30 days of windows of 300 s, if not told otherwise). Values are what fleets report: counts
//! of messages, bytes with noise, mostly zeros, gauges that rarely change, lists of ports.

#![expect(clippy::print_stdout, reason = "its purpose")]
#![expect(clippy::unwrap_used, reason = "a measurement, not the product")]
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a measurement, not the product"
)]

use std::time::Instant;

use fleet::time::Timestamp;
use history::{Block, History, Options, Query, Row, Value};

const START: i64 = 1_767_225_600_000;
const NAMES: [&str; 5] = [
    "aws:num-messages-sent",
    "aws:all-bytes-out",
    "aws:num-authorization-failures",
    "aws:num-established-tcp-connections",
    "aws:listening-tcp-ports",
];

/// SplitMix64 (Steele, Lea, Flood 2014).
fn random(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn value(kind: usize, thing: u64, window: u64) -> Value {
    let noise = random((thing << 32) ^ (window << 3) ^ kind as u64);
    let number = match kind {
        0 => 20 + noise % 21,
        1 => 5_000 + (noise % 512) + (noise >> 16) % 512 + (noise >> 32) % 512,
        2 => u64::from(noise.is_multiple_of(50)),
        3 => 2 + random((thing << 20) ^ (window / 40)) % 4,
        _ => return Value::Ports(vec![22, 8883, 1024 + (random(thing) % 50) as u16]),
    };
    Value::Number(number as f64)
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>().unwrap());
    let [things, metrics, days] = [10_000, 4, 30].map(|default| arguments.next().unwrap_or(default));
    let dir = tempfile::tempdir().unwrap();
    let (history, _) =
        History::open(dir.path(), Options { days: 60, bytes_max: u64::MAX, ..Options::default() }, u64::MAX)
            .unwrap();
    let names: Vec<String> = (0..things).map(|thing| format!("plant-7/pump-{thing:06}")).collect();
    let metric_names: Vec<String> = (0..metrics)
        .map(
            |metric| {
                if metric < 5 { NAMES[metric].into() } else { format!("{}-{metric}", NAMES[metric % 5]) }
            },
        )
        .collect();
    let windows = days as u64 * 288;
    let (mut append, mut commit, mut maintain) = (0.0, 0.0, 0.0);
    for window in 1..=windows {
        let end = Timestamp::from_millis(START + window as i64 * 300_000);
        for (metric, name) in metric_names.iter().enumerate() {
            let row = |(thing, name): (usize, &String)| Row {
                thing: name.clone(),
                value: value(metric % 5, thing as u64, window),
            };
            let block = Block {
                seq: window,
                end,
                window_secs: 300,
                metric: name.clone(),
                dimension: String::new(),
                aggregate: "sum".into(),
                rows: names.iter().enumerate().map(row).collect(),
            };
            let start = Instant::now();
            assert_ne!(history.append(&block), history::Appended::Repeated);
            append += start.elapsed().as_secs_f64();
        }
        let start = Instant::now();
        history.commit(window).unwrap();
        commit += start.elapsed().as_secs_f64();
        let start = Instant::now();
        if window % 6 == 0 {
            history.maintain(end).unwrap();
        }
        maintain += start.elapsed().as_secs_f64();
    }
    let stats = history.stats();
    let points = (windows * (things * metrics) as u64) as f64;
    println!(
        "{things} things, {metrics} metrics, {days} days: {points:.0} values, {} MB in {} parts",
        stats.bytes >> 20,
        stats.parts
    );
    println!("bytes a value: {:.2}", stats.bytes as f64 / points);
    println!(
        "time a value: {:.0} ns append, {:.1} ns write and sync, {:.0} ns seal and merge",
        append / points * 1e9,
        commit / points * 1e9,
        maintain / points * 1e9
    );
    for cached in [false, true] {
        let reader = History::read_only(dir.path()).unwrap();
        if cached {
            measure(&reader, &names, &metric_names, days, 200);
        }
        let (mut times, count) = measure(&reader, &names, &metric_names, days, 1_000);
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] * 1e3;
        let how = if cached { "footers in memory" } else { "just opened" };
        println!(
            "query of {count} values, {how}: {:.2} ms (50th), {:.2} ms (99th), {:.2} ms (most)",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}

fn measure(
    history: &History,
    names: &[String],
    metrics: &[String],
    days: usize,
    rounds: u64,
) -> (Vec<f64>, usize) {
    let mut count = 0;
    let ask = |round: u64| {
        let query = Query {
            thing: &names[random(round) as usize % names.len()],
            metric: &metrics[round as usize % metrics.len()],
            dimension: "",
            aggregate: None,
            window_secs: None,
            from: Timestamp::from_millis(START),
            to: Timestamp::from_millis(START + (days as i64 + 1) * 86_400_000),
            limit: usize::MAX,
        };
        let start = Instant::now();
        let answer = history.query(&query).unwrap();
        let took = start.elapsed().as_secs_f64();
        count = answer.points.len();
        assert_eq!(count, days * 288);
        took
    };
    ((0..rounds).map(ask).collect(), count)
}
