//! The live tail: what happens now, folded into events as replay folds it, and sent to those who watch.
//!
//! One reader takes every partition's records from replay's committed offset on. They stay in memory (`tail`) until
//! replay has committed them. A session that somebody watches has a channel (`channel`), whose task folds its records
//! (`fold`) and sends the events (`fan_out`); a subscription (`subscription`) catches up from Postgres, from the channel's
//! newest events or from Kafka (`backfill`) and then becomes live. Both sides count positions in the same way, so the
//! seam between them is exact.

mod backfill;
mod begin;
mod catch_up;
mod channel;
mod deadline;
mod fan_out;
mod fold;
mod frames;
mod outbox;
mod pacing;
mod playhead;
mod projected;
mod reader;
mod ring;
mod segment_frames;
mod session_task;
mod subscriber;
mod subscription;
mod tail;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use bytes::Bytes;
use kulti_pipeline::config::KafkaConfig;
use kulti_schemas::{EventId, SessionId, decode_record, partition_of};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use self::backfill::Backfill;
pub(crate) use self::channel::{Channel, Phase};
pub(crate) use self::fan_out::Filter;
pub(crate) use self::frames::{Format, FrameType, plain, websocket_frame};
pub use self::metrics::LiveMetrics;
pub(crate) use self::outbox::{Outbox, Push};
use self::projected::Projected;
pub(crate) use self::subscription::{Change, From, Pace, Settings, Subscription, SubscriptionRequest};
use self::tail::PartitionTail;

mod metrics;

/// The record's frame and the event id lie within this many bytes.
const RECORD_BEGINNING_BYTES: usize = 64;

/// What the live tail needs from outside.
pub struct LiveOptions {
    /// For rows and counters.
    pub pool: PgPool,
    /// For the log.
    pub kafka: KafkaConfig,
    /// The session topic's name.
    pub topic: String,
    /// Bytes of recent records over all partitions.
    pub tail_bytes: usize,
    /// Counted here.
    pub metrics: LiveMetrics,
    /// Ends every task.
    pub stopping: CancellationToken,
}

/// The live tail of one gateway. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    inner: Arc<Inner>,
}

struct Inner {
    options: LiveOptions,
    tails: Vec<Mutex<PartitionTail>>,
    /// Watched sessions, by their record key.
    channels: RwLock<HashMap<Bytes, Arc<Channel>>>,
    /// Sessions that were erased, for ever: nothing of them is taken, kept or shown.
    erased: RwLock<HashSet<SessionId>>,
    projected: Projected,
    backfill: Backfill,
    /// Bounds the queries of those who catch up, so that others find a connection.
    queries: tokio::sync::Semaphore,
}

impl Live {
    /// Nothing is read before `run`.
    pub fn new(options: LiveOptions) -> Self {
        let partitions = options.kafka.partitions;
        let backfill = Backfill::new(
            options.kafka.clone(),
            options.topic.clone(),
            options.stopping.clone(),
        );
        let queries = (options.pool.options().get_max_connections() as usize / 2).max(1);
        Live {
            inner: Arc::new(Inner {
                tails: (0..partitions).map(|_| Mutex::default()).collect(),
                channels: RwLock::default(),
                erased: RwLock::default(),
                projected: Projected::new(),
                backfill,
                queries: tokio::sync::Semaphore::new(queries),
                options,
            }),
        }
    }

    /// How many watch this session at this gateway.
    pub fn viewers(&self, session: &SessionId) -> u32 {
        self.find(session.as_str().as_bytes())
            .map_or(0, |channel| channel.viewers())
    }

    /// True while replay's position is known: without it nobody new can be served exactly.
    pub fn is_ready(&self) -> bool {
        self.inner.projected.is_fresh()
    }

    /// False if the log cannot hold a session that replay has not projected: neither the recent records nor those
    /// that the byte bound dropped.
    pub(crate) fn may_hold(&self, session: &SessionId) -> bool {
        let key = session.as_str().as_bytes();
        let partition = partition_of(key, self.inner.options.kafka.partitions);
        let Some(tail) = self.tail(partition) else {
            return false;
        };
        let projected = self.inner.projected.next_offset(partition).unwrap_or(0);
        tail.records_of(key, projected.max(0))
            .map_or(true, |records| !records.is_empty())
    }

    /// True if an event of this id is among the recent records of its session: one that viewers have seen and replay
    /// has not written yet. Ask this before the rows, else one that is written in between is in neither.
    pub(crate) fn holds_event(&self, session: &SessionId, id: EventId) -> bool {
        let key = session.as_str().as_bytes();
        let partition = partition_of(key, self.inner.options.kafka.partitions);
        let projected = self.inner.projected.next_offset(partition).unwrap_or(0);
        let held = self
            .tail(partition)
            .and_then(|tail| tail.records_of(key, projected.max(tail.start())).ok());
        let text = id.to_string();
        // The id is written as text near the record's beginning: what does not even hold it need not be decoded.
        let may_be = |value: &Bytes| {
            let beginning = &value[..value.len().min(RECORD_BEGINNING_BYTES)];
            beginning.windows(text.len()).any(|part| part == text.as_bytes())
        };
        held.unwrap_or_default()
            .iter()
            .filter(|record| record.value.as_ref().is_some_and(may_be))
            .filter_map(|record| decode_record(record.key.as_deref(), record.value.as_ref()).ok())
            .any(|event| event.meta.event_id == id)
    }

    /// How long the log keeps a session's records; `None` while it keeps them for ever.
    ///
    /// # Errors
    /// If no broker answers.
    pub(crate) async fn log_retention(&self) -> anyhow::Result<Option<std::time::Duration>> {
        let options = &self.inner.options;
        kulti_pipeline::topics::retention(&options.kafka, &options.topic).await
    }

    /// True for a session that was erased, as far as this gateway has heard.
    pub(crate) fn is_erased(&self, session: &SessionId) -> bool {
        let erased = self.inner.erased.read();
        erased
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .contains(session)
    }

    /// Keeps nothing of a session any more, and cuts off those who watch it.
    pub(crate) fn erase(&self, session: &SessionId) {
        let mut erased = self
            .inner
            .erased
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        erased.insert(session.clone());
        drop(erased);
        if let Some(channel) = self.find(session.as_str().as_bytes()) {
            channel.erase();
        }
    }

    /// Counts open viewer connections.
    pub(crate) fn connections_gauge(&self) -> prometheus::IntGauge {
        self.inner.options.metrics.connections.clone()
    }

    /// Reads the log until shutdown.
    ///
    /// # Errors
    /// When no reader can be made at all: a configuration that librdkafka refuses.
    pub async fn run(self) -> anyhow::Result<()> {
        reader::run(self).await
    }

    /// The session's channel; takes the session up if nobody watched it until now.
    pub(crate) fn channel(&self, session: &SessionId) -> Arc<Channel> {
        let key = Bytes::copy_from_slice(session.as_str().as_bytes());
        if let Some(channel) = self.find(&key) {
            return channel;
        }
        let mut channels = self
            .inner
            .channels
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(channel) = channels.get(&key) {
            return channel.clone();
        }
        let partition = partition_of(&key, self.inner.options.kafka.partitions);
        let channel = Arc::new(Channel::new(session.clone(), partition));
        channels.insert(key, channel.clone());
        if self.is_erased(session) {
            channel.erase();
        }
        tokio::spawn(session_task::run(self.clone(), channel.clone()));
        channel
    }

    /// The session's channel if events flow through it already.
    pub(crate) fn watched(&self, session: &SessionId) -> Option<Arc<Channel>> {
        let channel = self.find(session.as_str().as_bytes())?;
        channel.is_live().then_some(channel)
    }

    fn find(&self, key: &[u8]) -> Option<Arc<Channel>> {
        let channels = self
            .inner
            .channels
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        channels.get(key).cloned()
    }

    /// Takes a channel out that nobody has any more. False if somebody came meanwhile.
    fn retire(&self, channel: &Arc<Channel>) -> bool {
        let mut channels = self
            .inner
            .channels
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        // The map's own and the task's.
        let unused = Arc::strong_count(channel) <= 2 && channel.viewers() == 0;
        if unused {
            channels.remove(channel.session.as_str().as_bytes());
        }
        unused
    }

    fn channels_of(&self, partition: i32) -> Vec<Arc<Channel>> {
        let channels = self
            .inner
            .channels
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        channels
            .values()
            .filter(|channel| channel.partition == partition)
            .cloned()
            .collect()
    }

    fn tail(&self, partition: i32) -> Option<MutexGuard<'_, PartitionTail>> {
        let tail = self.inner.tails.get(usize::try_from(partition).ok()?)?;
        Some(tail.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}
