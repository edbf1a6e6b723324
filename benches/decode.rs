//! Decoding device reports, beside JSON parsers that read the same bytes.
//!
//! `cargo bench --bench decode`. The parsers are dependencies, which the release profile
//! optimizes for build time; to measure them at their best:
//! `cargo bench --bench decode --config 'profile.bench.package."*".opt-level=3'`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fleet::report::{ReportBuf, decode_cbor, decode_json};
use serde::de::IgnoredAny;

/// Reports of one size; enough of them that branch predictors cannot learn them.
const REPORTS: usize = 1000;

/// Reports with so many listening ports and connections, seeded, all alike in form.
fn reports(ports: u64, connections: u64) -> Vec<String> {
    let mut seed = 1_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    (0..REPORTS)
        .map(|number| {
            let listed: Vec<String> = (0..ports)
                .map(|_| format!(r#"{{"interface":"eth0","port":{}}}"#, 1 + random(65535)))
                .collect();
            let peers: Vec<String> = (0..connections)
                .map(|_| {
                    let (port, [a, b, c]) = (40_000 + random(20_000), [0; 3].map(|_: u64| random(256)));
                    format!(r#"{{"local_interface":"eth0","local_port":{port},"remote_addr":"10.{a}.{b}.{c}:8883"}}"#)
                })
                .collect();
            let (listed, peers) = (listed.join(","), peers.join(","));
            let [bytes_in, bytes_out, packets_in, packets_out] = [900_000, 900_000, 9_000, 9_000].map(&mut random);
            format!(
                r#"{{"header":{{"report_id":{},"version":"1.0"}},"metrics":{{"listening_tcp_ports":{{"ports":[{listed}],"total":{ports}}},"listening_udp_ports":{{"ports":[{{"interface":"eth0","port":5353}},{{"interface":"eth0","port":123}},{{"interface":"eth0","port":68}}],"total":3}},"network_stats":{{"bytes_in":{bytes_in},"bytes_out":{bytes_out},"packets_in":{packets_in},"packets_out":{packets_out}}},"tcp_connections":{{"established_connections":{{"connections":[{peers}],"total":{connections}}}}}}}}}"#,
                1_700_000_000_000 + number
            )
        })
        .collect()
}

/// The same report in CBOR.
fn to_cbor(json: &str) -> Vec<u8> {
    let value: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let mut out = Vec::new();
    write_cbor(&value, &mut out);
    out
}

fn write_cbor(value: &serde_json::Value, out: &mut Vec<u8>) {
    let head = |out: &mut Vec<u8>, major: u8, argument: usize| {
        let [a, b, c, d, e, f, g, h] = (argument as u64).to_be_bytes();
        match argument {
            0..24 => out.push(major << 5 | h),
            24..0x100 => out.extend_from_slice(&[major << 5 | 24, h]),
            0x100..0x1_0000 => out.extend_from_slice(&[major << 5 | 25, g, h]),
            0x1_0000..0x1_0000_0000 => out.extend_from_slice(&[major << 5 | 26, e, f, g, h]),
            _ => out.extend_from_slice(&[major << 5 | 27, a, b, c, d, e, f, g, h]),
        }
    };
    match value {
        serde_json::Value::Object(members) => {
            head(out, 5, members.len());
            for (name, value) in members {
                head(out, 3, name.len());
                out.extend_from_slice(name.as_bytes());
                write_cbor(value, out);
            }
        }
        serde_json::Value::Array(items) => {
            head(out, 4, items.len());
            items.iter().for_each(|item| write_cbor(item, out));
        }
        serde_json::Value::String(text) => {
            head(out, 3, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        value => {
            let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
            head(out, 0, number.unwrap_or_default());
        }
    }
}

fn decode(criterion: &mut Criterion) {
    for (name, ports, connections) in [("0.6 kB", 1, 2), ("1 kB", 4, 6), ("10 kB", 60, 100)] {
        let json = reports(ports, connections);
        let cbor: Vec<Vec<u8>> = json.iter().map(|report| to_cbor(report)).collect();
        let bytes: usize = json.iter().map(String::len).sum();
        let mut group = criterion.benchmark_group("decode");
        group.throughput(Throughput::ElementsAndBytes { elements: REPORTS as u64, bytes: bytes as u64 });
        let mut out = ReportBuf::default();
        group.bench_function(BenchmarkId::new("fleet json", name), |bencher| {
            bencher.iter(|| {
                json.iter().all(|report| decode_json(black_box(report.as_bytes()), &mut out).is_ok())
            });
        });
        group.bench_function(BenchmarkId::new("fleet cbor", name), |bencher| {
            bencher.iter(|| cbor.iter().all(|report| decode_cbor(black_box(report), &mut out).is_ok()));
        });
        group.bench_function(BenchmarkId::new("sonic-rs to tree", name), |bencher| {
            bencher.iter(|| {
                json.iter().all(|report| sonic_rs::from_str::<sonic_rs::Value>(black_box(report)).is_ok())
            });
        });
        group.bench_function(BenchmarkId::new("sonic-rs skip", name), |bencher| {
            bencher.iter(|| {
                json.iter().all(|report| sonic_rs::from_str::<IgnoredAny>(black_box(report)).is_ok())
            });
        });
        group.bench_function(BenchmarkId::new("serde_json to tree", name), |bencher| {
            bencher.iter(|| {
                json.iter().all(|report| serde_json::from_str::<serde_json::Value>(black_box(report)).is_ok())
            });
        });
        group.bench_function(BenchmarkId::new("serde_json skip", name), |bencher| {
            bencher.iter(|| {
                json.iter().all(|report| serde_json::from_str::<IgnoredAny>(black_box(report)).is_ok())
            });
        });
        group.finish();
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
