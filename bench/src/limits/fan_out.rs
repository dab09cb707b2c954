//! Live fan-out against a bare send() loop: from an event in Kafka to every viewer's socket.

use std::time::Duration;

use kulti_pipeline::config::KafkaConfig;
use kulti_pipeline::{LogProducer, OutRecord, PipelineMetrics};
use kulti_schemas::{SessionId, encode_record};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{World, ensure_same};
use crate::Effort;
use crate::child::Child;
use crate::events::event;
use crate::machine::Cores;
use crate::report::{Line, Report, Target, short};
use crate::roles::{BareSpec, Listening, Received, Role, Sending, ViewersSpec, Wanted, Watching};
use crate::spread::Spread;

/// Fills a frame of one event up to 300 bytes.
const CONTENT: &str = "It compiles. The rest";

/// A load that both get.
struct Load {
    limit: &'static str,
    target: f64,
    /// Messages to each viewer at once.
    burst: u32,
    interval: Duration,
    seconds: u32,
}

const LOADS: [Load; 3] = [
    Load {
        limit: "fan-out, even, 40/s a channel",
        target: 1.25,
        burst: 1,
        interval: Duration::from_millis(25),
        seconds: 8,
    },
    Load {
        limit: "fan-out, even, 100/s a channel",
        target: 0.6,
        burst: 1,
        interval: Duration::from_millis(10),
        seconds: 5,
    },
    Load {
        limit: "fan-out, bursts of 20, 5/s",
        target: 0.2,
        burst: 20,
        interval: Duration::from_millis(200),
        seconds: 5,
    },
];

impl Load {
    fn messages(&self, effort: Effort) -> u32 {
        let seconds = effort.choose(self.seconds, 2);
        let bursts = Duration::from_secs(u64::from(seconds)).as_micros() / self.interval.as_micros();
        bursts as u32 * self.burst
    }
}

/// One contender with its viewers.
struct Side {
    sender: Child,
    viewers: Child,
    received: Received,
}

/// What one run cost.
struct Run {
    cpu_us_per_message: f64,
    bytes_per_message: f64,
    messages_per_frame: f64,
}

impl Side {
    /// After `cpu_before`: waits until everybody has everything, and says what it cost.
    async fn finish(&mut self, cpu_before: f64, delivered: u64) -> anyhow::Result<Run> {
        let before = self.received;
        let messages = before.messages + delivered;
        self.received = self.viewers.ask(&Wanted { messages }).await?;
        let cpu = self.sender.cpu_seconds()? - cpu_before;
        ensure_same("messages delivered", self.received.messages, messages)?;
        ensure_same("messages out of order", self.received.out_of_order, 0)?;
        ensure_same("viewers who failed", self.received.failed, 0)?;
        let delivered = delivered as f64;
        Ok(Run {
            cpu_us_per_message: cpu * 1e6 / delivered,
            bytes_per_message: (self.received.bytes - before.bytes) as f64 / delivered,
            messages_per_frame: delivered / (self.received.frames - before.frames) as f64,
        })
    }
}

pub(super) async fn measure(world: &World, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    let count = effort.choose(1_000, 200);
    let cores = Cores::choose();
    let session = SessionId::parse("fan-out")?;
    let source = Source::new(world, &session)?;
    let replay = world.start_replay()?;
    source.start_session(world).await?;
    let (gateway, Listening { address }) = world.start_gateway(cores.measured, 10_000).await?;
    let viewers = |address, session| ViewersSpec {
        address,
        core: cores.load,
        count,
        session,
    };
    let mut ours = Side {
        sender: gateway,
        viewers: watch(viewers(address, Some(session.as_str().to_owned()))).await?,
        received: Received::default(),
    };
    let bare = BareSpec {
        core: cores.measured,
        viewers: count,
        session: session.as_str().to_owned(),
        content: CONTENT.to_owned(),
    };
    let mut sender = Child::start(Role::Bare, &bare)?;
    let Listening { address } = sender.hear().await?;
    let mut bare = Side {
        sender,
        viewers: watch(viewers(address, None)).await?,
        received: Received::default(),
    };

    let mut runs: [Vec<(Run, Run)>; LOADS.len()] = [const { Vec::new() }; LOADS.len()];
    let mut blocked = 0;
    for round in 0..=effort.rounds {
        for (load, runs) in LOADS.iter().zip(&mut runs) {
            let messages = load.messages(effort);
            let delivered = u64::from(messages) * count as u64;
            let cpu = ours.sender.cpu_seconds()?;
            source.write(load, messages).await?;
            let our_run = ours.finish(cpu, delivered).await?;
            let cpu = bare.sender.cpu_seconds()?;
            let sent: Sending = bare.sender.ask(&load.sending(messages)).await?;
            let bare_run = bare.finish(cpu, delivered).await?;
            blocked += sent.blocked;
            if round > 0 {
                runs.push((our_run, bare_run));
            }
        }
    }
    for child in [ours.viewers, bare.viewers, ours.sender, bare.sender, replay] {
        child.end().await?;
    }
    for (load, runs) in LOADS.iter().zip(&runs) {
        tell(load, runs, count, report);
    }
    if blocked > 0 {
        report.note(format!(
            "fan-out: the bare loop found a full socket {blocked} times"
        ));
    }
    Ok(())
}

impl Load {
    fn sending(&self, messages: u32) -> Sending {
        Sending {
            messages,
            burst: self.burst,
            interval_us: self.interval.as_micros() as u64,
            blocked: 0,
        }
    }
}

async fn watch(spec: ViewersSpec) -> anyhow::Result<Child> {
    let mut viewers = Child::start(Role::Viewers, &spec)?;
    let watching: Watching = viewers.hear().await?;
    ensure_same("viewers", watching.viewers as u64, spec.count as u64)?;
    Ok(viewers)
}

/// Writes events to Kafka at a load's pace.
pub(super) struct Source {
    producer: LogProducer,
    topic: String,
    session: SessionId,
}

impl Source {
    pub(super) fn new(world: &World, session: &SessionId) -> anyhow::Result<Self> {
        let config = KafkaConfig {
            // What comes together is in one batch as it is; what comes alone does not wait.
            properties: vec![("linger.ms".to_owned(), "0".to_owned())],
            ..world.topics.config.clone()
        };
        let metrics = PipelineMetrics::register(&prometheus::Registry::new())?;
        Ok(Source {
            producer: LogProducer::new(&config, metrics)?,
            topic: world.topics.session_events(),
            session: session.clone(),
        })
    }

    /// The session's first event, and waits until replay has it.
    pub(super) async fn start_session(&self, world: &World) -> anyhow::Result<()> {
        let started = self.record(
            "session.started",
            &json!({"task": "be watched", "visibility": "public"}),
        )?;
        send(self.producer.clone(), self.topic.clone(), vec![started]).await?;
        self.wait_for_rows(world, 1).await
    }

    /// Waits until replay has come to this position.
    pub(super) async fn wait_for_rows(&self, world: &World, wanted: i64) -> anyhow::Result<()> {
        let projected = async {
            let position = "select position from sessions where id = $1";
            while sqlx::query_scalar::<_, i64>(position)
                .bind(self.session.as_str())
                .fetch_optional(&world.database.pool)
                .await?
                .is_none_or(|position| position < wanted)
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(Duration::from_secs(30), projected).await?
    }

    /// So many events, as fast as the log takes them.
    pub(super) async fn write_at_once(&self, events: u32) -> anyhow::Result<()> {
        let records = (0..events).map(|_| self.record("thought", &json!({"content": CONTENT})));
        let records = records.collect::<anyhow::Result<Vec<_>>>()?;
        send(self.producer.clone(), self.topic.clone(), records).await
    }

    async fn write(&self, load: &Load, messages: u32) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut sends = JoinSet::new();
        let (mut written, mut bursts) = (0, 0);
        while written < messages {
            sleep_until(begun + load.interval * bursts).await;
            let records = (0..load.burst).map(|_| self.record("thought", &json!({"content": CONTENT})));
            let records = records.collect::<anyhow::Result<Vec<_>>>()?;
            sends.spawn(send(self.producer.clone(), self.topic.clone(), records));
            written += load.burst;
            bursts += 1;
        }
        while let Some(sent) = sends.join_next().await {
            sent??;
        }
        Ok(())
    }

    fn record(&self, kind: &str, data: &serde_json::Value) -> anyhow::Result<OutRecord> {
        Ok(OutRecord {
            key: self.session.as_str().as_bytes().to_vec(),
            value: encode_record(&event(&self.session, kind, data)?)?,
            headers: Vec::new(),
        })
    }
}

async fn send(producer: LogProducer, topic: String, records: Vec<OutRecord>) -> anyhow::Result<()> {
    for result in producer.send(&topic, records).await {
        result?;
    }
    Ok(())
}

fn tell(load: &Load, runs: &[(Run, Run)], count: usize, report: &mut Report) {
    let median = |value: fn(&(Run, Run)) -> f64| short(Spread::over(runs, value).median);
    report.add(Line {
        limit: load.limit,
        ours: format!("{} us a message", median(|(ours, _)| ours.cpu_us_per_message)),
        beside: format!("bare send() {}", median(|(_, bare)| bare.cpu_us_per_message)),
        figure: Spread::over(runs, |(ours, bare)| {
            ours.cpu_us_per_message / bare.cpu_us_per_message
        }),
        target: Target::AtMost(load.target),
    });
    report.note(format!(
        "{}: {count} viewers, {} messages a frame; {} bytes a message, bare {}; every message came, in order",
        load.limit,
        median(|(ours, _)| ours.messages_per_frame),
        median(|(ours, _)| ours.bytes_per_message),
        median(|(_, bare)| bare.bytes_per_message),
    ));
}
