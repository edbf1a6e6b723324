//! Reports on their way: publishers as fast as the broker takes them or at a given rate, and a
//! subscriber that does nothing but take and acknowledge.

use std::{
    error::Error,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    broker::PASSWORD,
    support::reports,
    wire::{self, Client, PUBACK, PUBLISH, Packet},
};

/// Messages under way from one publisher at most.
const WINDOW: u64 = 1_000;
/// Messages written at once.
const BURST: u64 = 64;
/// Things that the load reports for.
const THINGS: u64 = 1_000;

/// Reports without fault, each with another number, as packets that are only patched.
pub(crate) struct Reports {
    packets: Vec<Vec<u8>>,
    next: u64,
}

/// Where in a packet its numbers are: counted from the end, since the head's length varies.
const TOPIC: &str = "$aws/things/load-000000/defender/metrics/json";
const BEFORE_ID: usize = r#"{"header":{"report_id":"#.len();
const ID_DIGITS: usize = 13;

impl Reports {
    /// `stream` tells apart those that are published at the same time.
    pub(crate) fn new(stream: u64, qos: u8) -> Self {
        let packet = |json: String| {
            let mut packet = Vec::new();
            wire::publish(TOPIC, (qos > 0).then_some(0), json.as_bytes(), &mut packet);
            packet
        };
        let packets = good_reports().take(64).map(packet).collect();
        Self { packets, next: first_id(stream) }
    }

    /// Adds the next one to `out`, with its packet id if it has one.
    fn add(&mut self, id: u16, out: &mut Vec<u8>) {
        self.next += 1;
        let packet = &self.packets[(self.next % self.packets.len() as u64) as usize];
        let start = out.len();
        out.extend_from_slice(packet);
        let confirmed = packet[0] & 0b110 != 0;
        let payload = packet.iter().position(|&byte| byte == b'{').unwrap_or(0);
        let bytes = &mut out[start..];
        let topic_end = if confirmed { payload - 2 } else { payload };
        let thing = topic_end - TOPIC.len() + "$aws/things/load-".len();
        digits(&mut bytes[thing..thing + 6], self.next % THINGS);
        digits(&mut bytes[payload + BEFORE_ID..][..ID_DIGITS], self.next);
        if confirmed {
            bytes[payload - 2..payload].copy_from_slice(&id.to_be_bytes());
        }
    }
}

/// The first report id of a stream less one; all have as many digits.
const fn first_id(stream: u64) -> u64 {
    1_000_000_000_000 + 1_000_000_000 * (stream % 1_000)
}

fn good_reports() -> impl Iterator<Item = String> {
    let all = reports::stream().into_iter().map(|report| report.json);
    all.filter(|json| !json.contains("4444") && !json.contains(":6667"))
}

fn digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// A report that says that a port is open which must not be; `number` makes it another than those before.
pub(crate) fn offending(number: u64) -> String {
    let good = good_reports().next().unwrap_or_default();
    let (head, rest) = good.split_at(BEFORE_ID);
    let rest = rest.get(ID_DIGITS..).unwrap_or_default().replacen(r#""port":8080"#, r#""port":4444"#, 1);
    format!("{head}{}{rest}", first_id(999) + number)
}

/// Publishers under way.
pub(crate) struct Publishing {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<io::Result<u64>>>,
}

impl Publishing {
    /// Waits for all, or stops them; how many messages were sent and, with QoS 1, accepted.
    pub(crate) fn finish(self, stop: bool) -> Result<u64, Box<dyn Error>> {
        self.stop.store(stop, Ordering::Relaxed);
        let mut sent = 0;
        for thread in self.threads {
            sent += thread.join().map_err(|_| "a publisher panicked")??;
        }
        Ok(sent)
    }
}

/// What is to be published.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) port: u16,
    pub(crate) qos: u8,
    /// Messages of each publisher.
    pub(crate) messages: u64,
    pub(crate) publishers: u64,
    /// Messages a second of all together; as fast as possible without.
    pub(crate) rate: Option<f64>,
}

/// Starts to publish. `run` tells apart the reports of one run from those of others. `received`
/// counts what came out at the other end, so that with QoS 0 the broker's queue stays short.
pub(crate) fn publish(plan: Plan, run: u64, received: Option<&Arc<AtomicU64>>) -> io::Result<Publishing> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for number in 0..plan.publishers {
        let name = format!("load-{run}-{number}");
        let client = Client::connect(plan.port, &name, "load", PASSWORD)?;
        let reports = Reports::new(run * 8 % 800 + number, plan.qos);
        let flow = Flow { client, sent: 0, acked: Arc::default(), received: received.cloned() };
        let stop = Arc::clone(&stop);
        threads.push(std::thread::spawn(move || flow.run(plan, reports, &stop)));
    }
    Ok(Publishing { stop, threads })
}

struct Flow {
    client: Client,
    sent: u64,
    acked: Arc<AtomicU64>,
    received: Option<Arc<AtomicU64>>,
}

impl Flow {
    fn run(mut self, plan: Plan, mut reports: Reports, stop: &AtomicBool) -> io::Result<u64> {
        if plan.qos > 0 {
            self.count_acks()?;
        }
        let begin = Instant::now();
        let rate = plan.rate.map(|rate| rate / plan.publishers as f64);
        let mut bytes = Vec::new();
        while self.sent < plan.messages && !stop.load(Ordering::Relaxed) {
            let allowed = rate.map_or(u64::MAX, |rate| (begin.elapsed().as_secs_f64() * rate) as u64);
            let due = allowed.saturating_sub(self.sent).min(BURST).min(plan.messages - self.sent);
            if due == 0 || self.under_way(plan) > WINDOW {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            bytes.clear();
            for _ in 0..due {
                self.sent += 1;
                reports.add((self.sent % 65_535) as u16 + 1, &mut bytes);
            }
            self.client.stream.write_all(&bytes)?;
        }
        while plan.qos > 0 && self.acked.load(Ordering::Relaxed) < self.sent {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(self.sent)
    }

    fn under_way(&self, plan: Plan) -> u64 {
        let done = match &self.received {
            Some(received) if plan.qos == 0 => received.load(Ordering::Relaxed) / plan.publishers,
            _ if plan.qos == 0 => return 0,
            _ => self.acked.load(Ordering::Relaxed),
        };
        self.sent.saturating_sub(done)
    }

    fn count_acks(&self) -> io::Result<()> {
        let (mut stream, acked) = (self.client.stream.try_clone()?, Arc::clone(&self.acked));
        std::thread::spawn(move || -> io::Result<()> {
            // Only acknowledgements come, four bytes each.
            let (mut buffer, mut bytes) = (vec![0; 16 << 10], 0);
            loop {
                let read = io::Read::read(&mut stream, &mut buffer)?;
                if read == 0 {
                    return Ok(());
                }
                bytes += read as u64;
                acked.store(bytes / 4, Ordering::Relaxed);
                // They come one by one; waking up for each would cost more than all else.
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Ok(())
    }
}

/// Takes everything on the topics of reports, acknowledges it, and with `answers` tells the
/// device so, as the protocol of device reports wants it. Counts it in what is returned.
pub(crate) fn subscribe(port: u16, qos: u8, answers: bool) -> io::Result<Arc<AtomicU64>> {
    let mut client = Client::connect(port, "load-subscriber", "sidecar", PASSWORD)?;
    client.subscribe("$aws/things/+/defender/metrics/json", qos)?;
    let received = Arc::new(AtomicU64::new(0));
    let shared = Arc::clone(&received);
    std::thread::spawn(move || -> io::Result<()> {
        let mut out = Vec::new();
        while client.fill()? {
            let mut count = 0;
            while let Some(packet) = client.buffered() {
                count += u64::from(packet.kind == PUBLISH);
                out.extend(wire::publish_id(&packet).into_iter().flat_map(wire::ack));
                if answers {
                    answer(&packet, &mut out);
                }
            }
            client.stream.write_all(&out)?;
            out.clear();
            shared.fetch_add(count, Ordering::Relaxed);
        }
        Ok(())
    });
    Ok(received)
}

fn answer(packet: &Packet<'_>, out: &mut Vec<u8>) {
    let topic = format!("{}/accepted", wire::topic(packet));
    let at = packet.body.iter().position(|&byte| byte == b'{').unwrap_or(0) + BEFORE_ID;
    let id = String::from_utf8_lossy(packet.body.get(at..at + ID_DIGITS).unwrap_or_default());
    let payload = format!(
        r#"{{"thingName":"load-000000","reportId":{id},"status":"ACCEPTED","timestamp":1700000000000}}"#
    );
    wire::publish(&topic, None, payload.as_bytes(), out);
}

/// A device that is about to offend, and its open session.
pub(crate) struct Device {
    pub(crate) name: String,
    client: Client,
}

impl Device {
    pub(crate) fn connect(port: u16, name: String) -> io::Result<Self> {
        let client = Client::connect(port, &name, &name, PASSWORD)?;
        client.stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { name, client })
    }

    /// Sends the report; when it was sent, and when the broker ended the session.
    pub(crate) fn offend(mut self, report: &str) -> io::Result<(Instant, Instant)> {
        let mut bytes = Vec::new();
        let topic = format!("$aws/things/{}/defender/metrics/json", self.name);
        wire::publish(&topic, Some(1), report.as_bytes(), &mut bytes);
        let sent = Instant::now();
        self.client.stream.write_all(&bytes)?;
        loop {
            match self.client.next()? {
                Some(packet) if packet.kind == PUBACK => {}
                Some(_) | None => return Ok((sent, Instant::now())),
            }
        }
    }
}
