//! Device reports of about 1 kB as JSON: 1,000 things, 50 reports each, some of them out of line.
//!
//! The same bytes as the stream that other engines are measured with, which a Python program
//! draws from `random.Random(1)`; so this draws as Python does (MT19937, seeded by one number).

use std::fmt::Write as _;

pub const THINGS: usize = 1_000;
pub const ROUNDS: usize = 50;

/// A report and the thing that sends it.
#[derive(Clone, Debug)]
pub struct Report {
    pub thing: String,
    pub json: String,
}

/// Gives each report the number that its device would give it so many rounds later: the same
/// bytes again would be a repeated delivery.
pub fn later(stream: &mut [Report], rounds: usize) {
    const BEFORE: &str = r#"{"header":{"report_id":"#;
    for report in stream {
        let number: u64 = report.json[BEFORE.len()..BEFORE.len() + 13].parse().unwrap();
        let number = number + 300_000 * rounds as u64;
        report.json.replace_range(BEFORE.len()..BEFORE.len() + 13, &number.to_string());
    }
}

/// Round 1 of all things, round 2, and so on. About 2 % of the things are in a bad spell at any time.
pub fn stream() -> Vec<Report> {
    let mut random = Python::seeded(1);
    let mut bad = [0_u32; THINGS];
    let mut all = Vec::with_capacity(THINGS * ROUNDS);
    for round in 0..ROUNDS {
        for (thing, spell) in bad.iter_mut().enumerate() {
            if *spell > 0 {
                *spell -= 1;
            } else if random.unit() < 0.004 {
                *spell = 2 + random.below(8);
            }
            let id = (1_700_000_000 + 300 * round as u64) * 1000 + thing as u64;
            all.push(Report {
                thing: format!("thing-{thing:06}"),
                json: report(&mut random, *spell > 0, id),
            });
        }
    }
    all
}

fn report(random: &mut Python, bad: bool, id: u64) -> String {
    let ports = |ports: &[u16]| {
        let items: Vec<String> =
            ports.iter().map(|port| format!(r#"{{"interface":"eth0","port":{port}}}"#)).collect();
        format!(r#"{{"ports":[{}],"total":{}}}"#, items.join(","), ports.len())
    };
    let tcp: &[u16] = if bad { &[22, 8883, 8080, 443, 4444] } else { &[22, 8883, 8080, 443] };
    let mut peers = String::new();
    for peer in 0..6 {
        let local = 40_000 + random.below(20_000);
        let comma = if peer > 0 { "," } else { "" };
        let address = if bad && peer == 0 {
            format!("203.0.{}.{}:6667", random.below(256), random.below(256))
        } else {
            format!("10.{}.{}.{}:8883", random.below(256), random.below(256), random.below(256))
        };
        write!(
            peers,
            r#"{comma}{{"local_interface":"eth0","local_port":{local},"remote_addr":"{address}"}}"#
        )
        .unwrap();
    }
    let times = if bad { 5 } else { 1 };
    let bytes = [0; 2].map(|_| (20_000 + random.below(880_000)) * times);
    let packets = [0; 2].map(|_| 100 + random.below(8_900));
    format!(
        r#"{{"header":{{"report_id":{id},"version":"1.0"}},"metrics":{{"listening_tcp_ports":{},"listening_udp_ports":{},"network_stats":{{"bytes_in":{},"bytes_out":{},"packets_in":{},"packets_out":{}}},"tcp_connections":{{"established_connections":{{"connections":[{peers}],"total":6}}}}}}}}"#,
        ports(tcp),
        ports(&[5353, 123, 68]),
        bytes[0],
        bytes[1],
        packets[0],
        packets[1],
    )
}

/// Reports from a file of `thing TAB json` lines.
pub fn read(path: &str) -> std::io::Result<Vec<Report>> {
    let text = std::fs::read_to_string(path)?;
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    Ok(lines.map(|(thing, json)| Report { thing: thing.to_owned(), json: json.to_owned() }).collect())
}

/// MT19937 (Matsumoto and Nishimura, 1998) as Python's `random` seeds and reads it.
#[derive(Debug)]
struct Python {
    state: [u32; 624],
    at: usize,
}

impl Python {
    fn seeded(seed: u32) -> Self {
        let mut state = [0_u32; 624];
        state[0] = 19_650_218;
        for at in 1..624 {
            let before = state[at - 1];
            state[at] = 1_812_433_253_u32.wrapping_mul(before ^ before >> 30).wrapping_add(at as u32);
        }
        let mut at = 1;
        for _ in 0..624 {
            let before = state[at - 1];
            state[at] = (state[at] ^ (before ^ before >> 30).wrapping_mul(1_664_525)).wrapping_add(seed);
            at = Self::next_place(&mut state, at);
        }
        for _ in 0..623 {
            let before = state[at - 1];
            state[at] =
                (state[at] ^ (before ^ before >> 30).wrapping_mul(1_566_083_941)).wrapping_sub(at as u32);
            at = Self::next_place(&mut state, at);
        }
        state[0] = 0x8000_0000;
        Self { state, at: 624 }
    }

    fn next_place(state: &mut [u32; 624], at: usize) -> usize {
        if at < 623 {
            return at + 1;
        }
        state[0] = state[623];
        1
    }

    fn word(&mut self) -> u32 {
        if self.at == 624 {
            for at in 0..624 {
                let y = self.state[at] & 0x8000_0000 | self.state[(at + 1) % 624] & 0x7fff_ffff;
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[at] = self.state[(at + 397) % 624] ^ y >> 1 ^ odd;
            }
            self.at = 0;
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c_5680;
        y ^= y << 15 & 0xefc6_0000;
        y ^ y >> 18
    }

    /// `random()`
    fn unit(&mut self) -> f64 {
        let (high, low) = (self.word() >> 5, self.word() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// `randrange(bound)`
    fn below(&mut self, bound: u32) -> u32 {
        let bits = 32 - bound.leading_zeros();
        loop {
            let drawn = self.word() >> (32 - bits);
            if drawn < bound {
                return drawn;
            }
        }
    }
}
