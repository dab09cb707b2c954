//! Makes events of what happens in a run and puts them into the spool: in order, in small windows of time, and
//! without secrets.
//!
//! One thread owns the order. What it is told waits in a bounded queue, so that a command that prints faster than its
//! output can be looked through is slowed down as by a slower terminal; the network is not in this path.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use kulti_adapters::ImportedEvent;
use kulti_masking::{Masker, StreamMasker};
use serde_json::{Value, json};
use uuid::Uuid;

use self::tally::Counter;
pub use self::tally::Tally;
use crate::frame::{self, Frame};
use crate::pty::Size;
use crate::spool::{Place, Record, Spool, Weight};

mod tally;
#[cfg(test)]
mod tests;

/// Output that comes within this is one event: below what a viewer sees as a delay.
const WINDOW: Duration = Duration::from_millis(30);
/// Bytes of output in one event: with every byte escaped it is still well below 1 MiB of JSON.
const OUTPUT_BYTES: usize = 64 << 10;
/// A session that says nothing for longer than two minutes counts as quiet.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// What waits for the recorder, each at most 64 KiB.
const QUEUE: usize = 64;

/// Told what happens; cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: SyncSender<Said>,
    begun: Instant,
    /// Milliseconds after `begun` at which the command printed last.
    printed_at: Arc<AtomicU64>,
}

/// The recorder's thread: ends with what it counted.
pub type Recording = JoinHandle<Tally>;

#[derive(Debug)]
enum Said {
    Printed(Vec<u8>),
    Resized(Size),
    Happened(&'static str, Value),
    Told(Box<ImportedEvent>),
    Ended,
}

impl Recorder {
    /// Starts recording into the spool, as this generation of the frame's producer.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn start(
        spool: Arc<Spool>,
        frame: Frame,
        generation: u32,
        masker: Masker,
    ) -> std::io::Result<(Recorder, Recording)> {
        let (queue, said) = sync_channel(QUEUE);
        let writer = Writer {
            spool,
            frame,
            place: Place { generation, seq: 0 },
            stream: StreamMasker::new(masker.clone()),
            masker,
            pending: Vec::new(),
            pending_since: None,
            begun: Instant::now(),
            status: None,
            said_at: Instant::now(),
            counter: Counter::default(),
        };
        let recording = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || writer.run(&said))?;
        let recorder = Recorder {
            queue,
            begun: Instant::now(),
            printed_at: Arc::default(),
        };
        Ok((recorder, recording))
    }

    /// The command printed this. Waits while the recorder has too much to do.
    pub fn printed(&self, bytes: &[u8]) {
        self.noticed();
        self.say(Said::Printed(bytes.to_vec()));
    }

    fn noticed(&self) {
        let after = self.begun.elapsed().as_millis() as u64;
        self.printed_at.store(after, Ordering::Relaxed);
    }

    /// The tool told this, without secrets, in records of its own.
    pub fn told(&self, event: ImportedEvent) {
        self.noticed();
        self.say(Said::Told(Box::new(event)));
    }

    /// For how long the command has printed nothing.
    pub fn silent_for(&self) -> Duration {
        let printed_at = Duration::from_millis(self.printed_at.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(printed_at)
    }

    /// The terminal has this size now.
    pub fn resized(&self, size: Size) {
        self.say(Said::Resized(size));
    }

    /// An event of this kind, with its data.
    pub fn happened(&self, kind: &'static str, data: Value) {
        self.say(Said::Happened(kind, data));
    }

    /// Nothing more happens: what anybody says from now on is not heard.
    pub fn close(&self) {
        self.say(Said::Ended);
    }

    fn say(&self, said: Said) {
        // Whoever speaks after the end is not heard.
        self.queue.send(said).ok();
    }
}

/// The state of the recorder's thread.
struct Writer {
    spool: Arc<Spool>,
    frame: Frame,
    place: Place,
    masker: Masker,
    /// Output is masked as one stream: a secret may be printed in many pieces.
    stream: StreamMasker,
    /// Masked output that is not yet in an event.
    pending: Vec<u8>,
    pending_since: Option<(Instant, DateTime<Utc>)>,
    begun: Instant,
    /// The last status: repeated when nothing else is said.
    status: Option<Value>,
    said_at: Instant,
    counter: Counter,
}

impl Writer {
    fn run(mut self, said: &Receiver<Said>) -> Tally {
        loop {
            let wait = self.next_deadline().saturating_duration_since(Instant::now());
            match said.recv_timeout(wait) {
                Ok(Said::Printed(bytes)) => self.printed(&bytes),
                Ok(Said::Resized(size)) => {
                    // What is held back was printed before, but half a secret must not go out for it.
                    let later = self.begun.elapsed() + kulti_masking::HOLD;
                    self.stream.tick(later, &mut self.pending);
                    self.write_output(0);
                    self.write("terminal.resized", &json!({"cols": size.cols, "rows": size.rows}));
                }
                Ok(Said::Happened(kind, data)) => self.happened(kind, data),
                Ok(Said::Told(event)) => self.told(*event),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Said::Ended) | Err(RecvTimeoutError::Disconnected) => return self.end(),
            }
            self.keep_time();
        }
    }

    fn printed(&mut self, bytes: &[u8]) {
        self.pending_since
            .get_or_insert_with(|| (Instant::now(), Utc::now()));
        self.stream.push(bytes, self.begun.elapsed(), &mut self.pending);
        while self.pending.len() >= OUTPUT_BYTES {
            self.write_output(OUTPUT_BYTES);
        }
    }

    fn happened(&mut self, kind: &'static str, mut data: Value) {
        self.masker.mask_json(&mut data);
        // The last words come after everything that was printed, also what was held back.
        if matches!(kind, "terminal.exited" | "session.ended") {
            self.stream.flush(&mut self.pending);
        }
        self.write_output(0);
        if kind == "status.changed" {
            self.status = Some(data.clone());
        }
        self.write(kind, &data);
    }

    fn told(&mut self, event: ImportedEvent) {
        self.write_output(0);
        let time = event
            .time
            .and_then(|time| DateTime::from_timestamp_micros(time.0));
        let data = Value::Object(event.data);
        if event.kind == "status.changed" {
            self.status = Some(data.clone());
        }
        self.counter.told(event.kind, &data);
        let said = frame::Said {
            cause: event.cause.map(|id| id.uuid()),
            raw: event.raw.as_deref(),
            ..frame::Said::at(time.unwrap_or_else(Utc::now), event.id.uuid(), event.kind, &data)
        };
        self.append(Weight::Structured, 0, &said);
    }

    fn next_deadline(&self) -> Instant {
        let window = self.pending_since.map(|(since, _)| since + WINDOW);
        let held = self.stream.deadline().map(|after| self.begun + after);
        let heartbeat = self.said_at + HEARTBEAT;
        [window, held].into_iter().flatten().fold(heartbeat, Instant::min)
    }

    fn keep_time(&mut self) {
        self.stream.tick(self.begun.elapsed(), &mut self.pending);
        // What the masker let go of after its own deadline has waited for long enough.
        let is_due = match self.pending_since {
            Some((since, _)) => since.elapsed() >= WINDOW,
            None => !self.pending.is_empty(),
        };
        if is_due {
            self.write_output(0);
            self.pending_since = None;
        }
        if self.said_at.elapsed() >= HEARTBEAT
            && let Some(status) = self.status.clone()
        {
            self.write("status.changed", &status);
        }
    }

    /// Writes what is pending, or the first so many bytes of it. The first bytes of a character wait for the rest.
    fn write_output(&mut self, most: usize) {
        let length = if most == 0 { self.pending.len() } else { most };
        let length = whole_characters(&self.pending[..length]);
        if length == 0 {
            return;
        }
        let rest = self.pending.split_off(length);
        let bytes = std::mem::replace(&mut self.pending, rest);
        self.write_bytes(&bytes);
    }

    fn write_bytes(&mut self, bytes: &[u8]) {
        let data = match std::str::from_utf8(bytes) {
            Ok(text) => json!({"text": text, "stream": "pty"}),
            Err(_) => json!({"base64": STANDARD.encode(bytes), "stream": "pty"}),
        };
        let time = self.pending_since.map_or_else(Utc::now, |(_, time)| time);
        self.counter.printed(bytes);
        let said = frame::Said::at(time, Uuid::now_v7(), "terminal.output", &data);
        self.append(Weight::Output, bytes.len() as u32, &said);
    }

    fn write(&mut self, kind: &str, data: &Value) {
        self.counter.happened(kind, data);
        let said = frame::Said::at(Utc::now(), Uuid::now_v7(), kind, data);
        self.append(Weight::Structured, 0, &said);
    }

    fn append(&mut self, weight: Weight, output_bytes: u32, said: &frame::Said<'_>) {
        self.place.seq += 1;
        self.said_at = Instant::now();
        self.spool.append(Record {
            place: self.place,
            weight,
            output_bytes,
            id: said.id,
            json: self.frame.event(self.place, said),
        });
    }

    fn end(mut self) -> Tally {
        self.stream.flush(&mut self.pending);
        let rest = std::mem::take(&mut self.pending);
        for piece in rest.chunks(OUTPUT_BYTES) {
            self.write_bytes(piece);
        }
        if let Err(error) = self.spool.sync() {
            tracing::warn!(%error, "the spool cannot be synced");
        }
        self.counter.tally(self.place.seq, self.stream.counts().total())
    }
}

/// The length without the beginning of a character at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let Some(last) = bytes.utf8_chunks().last() else {
        return 0;
    };
    let invalid = last.invalid();
    // `error_len` is none exactly where more bytes could complete it.
    match std::str::from_utf8(invalid) {
        Err(error) if error.error_len().is_none() => bytes.len() - invalid.len(),
        _ => bytes.len(),
    }
}
