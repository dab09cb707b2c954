//! What replay has committed, as the live tail needs it: where each partition stands, and one session's counters,
//! from one snapshot each.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use kulti_schemas::{EventId, Mask, Redactions, SessionId};
use kulti_session::{SEQUENCER_IDS, Sequencer};
use sqlx::types::Json;
use sqlx::{PgPool, Row};
use tokio::sync::watch;
use uuid::Uuid;

/// The projection whose rows are the transcript.
const REPLAY: &str = "replay";

/// Why replay stopped when the log is not the one that it read.
pub(crate) const LOG_TRUNCATED: &str = "log_truncated";

/// Older knowledge than this is no knowledge: new subscriptions get a retryable error.
const FRESH: Duration = Duration::from_secs(5);

/// Where replay stands in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionPosition {
    /// Grows when a cut or recreated log is taken up again.
    pub(crate) epoch: i64,
    /// The next offset that replay reads: everything before it is in Postgres.
    pub(crate) next_offset: i64,
    /// Why it does not go on.
    pub(crate) stopped: Option<String>,
}

/// A partition that replay has never touched.
const UNTOUCHED: PartitionPosition = PartitionPosition {
    epoch: 1,
    next_offset: 0,
    stopped: None,
};

/// All partitions' positions, polled, with the time they were read.
#[derive(Debug)]
pub(crate) struct Projected {
    positions: watch::Sender<Option<(Instant, Vec<PartitionPosition>)>>,
}

impl Projected {
    pub(crate) fn new() -> Self {
        Projected {
            positions: watch::channel(None).0,
        }
    }

    /// Reads all partitions' positions.
    pub(crate) async fn poll(&self, pool: &PgPool, partitions: i32) -> sqlx::Result<Vec<PartitionPosition>> {
        let rows = sqlx::query(
            "select partition, epoch, next_offset, stopped from projection_partitions where projection = $1",
        )
        .bind(REPLAY)
        .fetch_all(pool)
        .await?;
        let mut positions = vec![UNTOUCHED; usize::try_from(partitions).unwrap_or(0)];
        for row in rows {
            let partition: i32 = row.try_get("partition")?;
            if let Some(position) = usize::try_from(partition)
                .ok()
                .and_then(|index| positions.get_mut(index))
            {
                *position = PartitionPosition {
                    epoch: row.try_get("epoch")?,
                    next_offset: row.try_get("next_offset")?,
                    stopped: row.try_get("stopped")?,
                };
            }
        }
        self.positions
            .send_replace(Some((Instant::now(), positions.clone())));
        Ok(positions)
    }

    /// True while the positions are known well enough for a new subscription.
    pub(crate) fn is_fresh(&self) -> bool {
        self.positions
            .borrow()
            .as_ref()
            .is_some_and(|(read_at, _)| read_at.elapsed() < FRESH)
    }

    /// The epoch of a partition's log, as last read: the one that the tail holds.
    pub(crate) fn epoch(&self, partition: i32) -> Option<i64> {
        self.position(partition).map(|position| position.epoch)
    }

    /// Up to where replay has committed a partition, as last read.
    pub(crate) fn next_offset(&self, partition: i32) -> Option<i64> {
        self.position(partition).map(|position| position.next_offset)
    }

    fn position(&self, partition: i32) -> Option<PartitionPosition> {
        let positions = self.positions.borrow();
        let (_, positions) = positions.as_ref()?;
        positions.get(usize::try_from(partition).ok()?).cloned()
    }
}

/// One session as replay has committed it, and where its partition stood at that moment.
#[derive(Debug)]
pub(crate) struct SessionSnapshot {
    pub(crate) epoch: i64,
    pub(crate) next_offset: i64,
    pub(crate) stopped: Option<String>,
    pub(crate) sequencer: Sequencer,
    pub(crate) visibility: Option<String>,
    pub(crate) ended: Option<String>,
    /// What is hidden of events that replay has not met.
    pub(crate) awaited: Redactions,
    /// It was erased.
    pub(crate) erased: bool,
}

/// Reads a session's snapshot: one statement, so one snapshot of the database.
pub(crate) async fn session_snapshot(
    pool: &PgPool,
    session: &SessionId,
    partition: i32,
) -> sqlx::Result<SessionSnapshot> {
    let row = sqlx::query(
        "select coalesce(p.epoch, 1) as epoch, coalesce(p.next_offset, 0) as next_offset, p.stopped,
                coalesce(s.position, 0) as position, s.clock, s.visibility,
                case when s.ended_at is not null then coalesce(s.end_reason, '') end as ended,
                array(select event_id from events where session_id = $1 order by event_id desc limit $4) as largest,
                (select json_agg(json_build_array(event_id, masks)) from awaited_redactions where session_id = $1)
                    as awaited,
                exists (select from erased_sessions where session_id = $1) as erased
         from (select 1) as one
         left join projection_partitions p on p.projection = $3 and p.partition = $2
         left join sessions s on s.id = $1",
    )
    .bind(session.as_str())
    .bind(partition)
    .bind(REPLAY)
    .bind(SEQUENCER_IDS as i64)
    .fetch_one(pool)
    .await?;
    let clock: Option<DateTime<Utc>> = row.try_get("clock")?;
    let largest: Vec<Uuid> = row.try_get("largest")?;
    let largest = largest.into_iter().filter_map(|id| EventId::from_uuid(id).ok());
    let awaited: Option<Json<Vec<Awaited>>> = row.try_get("awaited")?;
    Ok(SessionSnapshot {
        awaited: awaited.map(|awaited| redactions(awaited.0)).unwrap_or_default(),
        erased: row.try_get("erased")?,
        epoch: row.try_get("epoch")?,
        next_offset: row.try_get("next_offset")?,
        stopped: row.try_get("stopped")?,
        sequencer: Sequencer::resume(row.try_get("position")?, clock.map(Into::into), largest),
        visibility: row.try_get("visibility")?,
        ended: row.try_get("ended")?,
    })
}

/// An event that has not come, and its masks as JSON texts.
type Awaited = (Uuid, Vec<String>);

fn redactions(awaited: Vec<Awaited>) -> Redactions {
    let mut redactions = Redactions::default();
    for (id, masks) in awaited {
        let Ok(id) = EventId::from_uuid(id) else { continue };
        for mask in masks {
            redactions.add(
                id,
                serde_json::from_str(&mask).unwrap_or_else(|_| Mask::whole_event()),
            );
        }
    }
    redactions
}

/// Every session that replay has erased.
pub(crate) async fn erased_sessions(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("select session_id from erased_sessions")
        .fetch_all(pool)
        .await
}

/// The positions of those of `ids` that replay has committed in this session.
pub(crate) async fn known_ids(
    pool: &PgPool,
    session: &SessionId,
    ids: &[EventId],
) -> sqlx::Result<HashMap<EventId, i64>> {
    let uuids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows =
        sqlx::query("select event_id, position from events where session_id = $1 and event_id = any($2)")
            .bind(session.as_str())
            .bind(uuids)
            .fetch_all(pool)
            .await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in rows {
        if let Ok(id) = EventId::from_uuid(row.try_get("event_id")?) {
            known.insert(id, row.try_get("position")?);
        }
    }
    Ok(known)
}

/// The id of the event at a position, if replay has committed it.
pub(crate) async fn event_id_at(
    pool: &PgPool,
    session: &SessionId,
    position: i64,
) -> sqlx::Result<Option<EventId>> {
    let id: Option<Uuid> =
        sqlx::query_scalar("select event_id from events where session_id = $1 and position = $2")
            .bind(session.as_str())
            .bind(position)
            .fetch_optional(pool)
            .await?;
    Ok(id.and_then(|id| EventId::from_uuid(id).ok()))
}
