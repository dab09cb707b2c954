//! Many viewers of one session who all do something else, for a minute (`make soak`).

use std::sync::{Arc, RwLock};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::playback::recorded;
use crate::producer::{events, ids};
use crate::viewer::{Viewer, positions};

const VIEWERS: u64 = 100;
const RECORDED: usize = 20_000;
const TIME: Duration = Duration::from_secs(60);
/// From then on nothing may grow.
const SETTLED: Duration = Duration::from_secs(20);
const MAY_GROW_BYTES: u64 = 48 << 20;

/// Ids by position; the producer writes an id down before it sends the event.
type Transcript = Arc<RwLock<Vec<String>>>;

/// One viewer, who checks each event as it comes.
struct Checker {
    viewer: Viewer,
    number: u64,
    transcript: Transcript,
    /// The position that comes next; unknown until the first frame says it.
    next: Option<i64>,
    /// The last seek that was sent: until its answer comes, events are of before.
    seek: u64,
    events: u64,
    answered: u64,
}

impl Checker {
    fn take(&mut self, frame: &Value) {
        match frame["type"].as_str() {
            Some("state") => {
                let id = frame["id"].as_u64();
                assert!(id.is_none_or(|id| id <= self.seek), "viewer {}", self.number);
                self.answered += 1;
                self.next = frame["position"].as_i64().map(|position| position + 1);
            }
            Some("events") => {
                let transcript = self.transcript.read().expect("not poisoned");
                for (position, id) in positions(frame) {
                    let expected = self.next.unwrap_or(position);
                    assert_eq!(position, expected, "viewer {}", self.number);
                    assert_eq!(id, transcript[position as usize - 1], "viewer {}", self.number);
                    self.next = Some(position + 1);
                    self.events += 1;
                }
            }
            Some("caught_up" | "clock" | "viewers") => {}
            _ => panic!("viewer {}: {frame}", self.number),
        }
    }

    /// Something that a person at a player may do.
    fn next_message(&mut self, random: &mut StdRng) -> Value {
        let known = self.transcript.read().expect("not poisoned").len() as i64;
        match random.random_range(0..10) {
            0..=4 => {
                self.seek += 1;
                let position = random.random_range(0..RECORDED as i64);
                let to = match random.random_range(0..5) {
                    0 => json!("live"),
                    1 => json!({"time": random.random_range(0..20_000)}),
                    2 => json!({"event": self.transcript.read().expect("not poisoned")[position as usize]}),
                    3 => json!({"position": (known - 200).max(0)}),
                    _ => json!({"position": position}),
                };
                json!({"op": "seek", "to": to, "id": self.seek})
            }
            5 => json!({"op": "pause"}),
            6 => json!({"op": "play"}),
            7 => json!({"op": "speed", "speed": "max"}),
            8 => json!({"op": "speed", "speed": {"deadline_s": random.random_range(2..20)}}),
            _ => json!({"op": "speed", "speed": random.random_range(0.1..64.0), "idle_cap_ms": 500}),
        }
    }

    async fn run(mut self, until: Instant) -> (u64, u64) {
        let mut random = StdRng::seed_from_u64(self.number);
        let mut act = Instant::now();
        while Instant::now() < until {
            if Instant::now() >= act {
                let message = self.next_message(&mut random);
                self.viewer.say(message).await;
                act = Instant::now() + Duration::from_millis(random.random_range(200..3_000));
            }
            let frame = tokio::time::timeout_at(act.min(until), self.viewer.frame()).await;
            if let Ok(frame) = frame {
                self.take(&frame);
            }
        }
        // In the end everybody is where the session is.
        self.viewer.say(json!({"op": "speed", "speed": "max"})).await;
        self.viewer.say(json!({"op": "play"})).await;
        let all = self.transcript.read().expect("not poisoned").len() as i64;
        while self.next.is_none_or(|next| next <= all) {
            let frame = self.viewer.frame().await;
            self.take(&frame);
        }
        (self.events, self.answered)
    }
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes longer than a minute"]
async fn soak_a_hundred_viewers_play_one_session_each_in_its_own_way() {
    let recorded = recorded(RECORDED).await;
    let transcript: Transcript = Arc::new(RwLock::new(recorded.transcript.clone()));
    let until = Instant::now() + TIME;
    let mut viewers = JoinSet::new();
    for number in 0..VIEWERS {
        let fields = json!({"state": true, "speed": 1, "from": {"position": number * 200}});
        let checker = Checker {
            viewer: recorded.viewer(fields).await,
            number,
            transcript: transcript.clone(),
            next: None,
            seek: 0,
            events: 0,
            answered: 0,
        };
        viewers.spawn(checker.run(until));
    }
    let settled = Instant::now() + SETTLED;
    let mut before = None;
    while Instant::now() < until {
        let batch = events(&recorded.session, 5);
        transcript.write().expect("not poisoned").extend(ids(&batch));
        recorded.gateway.send(&batch).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        if before.is_none() && Instant::now() >= settled {
            before = Some(resident_bytes());
        }
    }
    let grown = resident_bytes().saturating_sub(before.expect("it has settled"));
    let (mut seen, mut answered) = (0, 0);
    while let Some(viewer) = viewers.join_next().await {
        let (events, states) = viewer.expect("a viewer whose transcript is exact");
        seen += events;
        answered += states;
    }
    println!("{seen} events, {answered} states, {} MiB grown", grown >> 20);
    assert!(grown <= MAY_GROW_BYTES, "{} MiB grown", grown >> 20);
}
