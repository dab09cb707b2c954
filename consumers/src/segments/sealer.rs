//! Makes segments of rows. Every process that consumes runs one; a session is looked at by one of them at a time.

use std::time::Duration;

use kulti_schemas::SessionId;
use kulti_session::{Keyframe, Workspace};
use kulti_tables::events::{EventsQuery, events_page_on};
use kulti_tables::segments::{self, SegmentError, SegmentText, StoredSegment};
use sqlx::{PgConnection, PgPool};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::builder::SegmentBuilder;
use super::metrics::SealerMetrics;
use super::store;

const EVERY: Duration = Duration::from_millis(500);
/// Sessions of one look; the next one takes the rest.
const SESSIONS: i64 = 100;
/// Rows, and bytes of them, that are folded between two waits: what else runs on this thread waits that long.
const PAGE_ROWS: i64 = 256;
const PAGE_BYTES: usize = 256 << 10;
/// Packed bytes of one transaction.
const WRITE_BYTES: usize = 8 << 20;

/// Why a session was not sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Its rows cannot be read, or its segments not be written.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Its open segment is broken.
    #[error("the open segment {0}")]
    Segment(#[from] SegmentError),
    /// zstd fails.
    #[error("a segment cannot be packed: {0}")]
    Pack(#[from] std::io::Error),
    /// Not a session's id.
    #[error(transparent)]
    Id(#[from] kulti_schemas::IdError),
}

/// What the sealer needs from its process.
#[derive(Clone)]
pub struct SealerContext {
    /// Rows and segments.
    pub pool: PgPool,
    /// What it counts.
    pub metrics: SealerMetrics,
    /// Ends it.
    pub stopping: CancellationToken,
}

/// Seals until `stopping`. A session that cannot be sealed is tried again at the next look.
///
/// # Errors
/// None so far; components of a process answer so.
pub async fn run(context: SealerContext) -> anyhow::Result<()> {
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopping = context.stopping.clone();
    let mut knows_outdated = false;
    loop {
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            _ = looks.tick() => {}
        }
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            () = look(&context, &mut knows_outdated) => {}
        }
    }
}

async fn look(context: &SealerContext, knows_outdated: &mut bool) {
    if !*knows_outdated {
        match store::find_outdated(&context.pool).await {
            Ok(0) => *knows_outdated = true,
            Ok(sessions) => {
                *knows_outdated = true;
                tracing::info!(sessions, "segments of another fold are made anew");
            }
            Err(error) => return failed(context, "all", &error.into()),
        }
    }
    let sessions = match store::sessions_to_seal(&context.pool, SESSIONS).await {
        Ok(sessions) => sessions,
        Err(error) => return failed(context, "all", &error.into()),
    };
    for session in sessions {
        match seal_session(&context.pool, &session).await {
            Ok(sealed) => {
                context.metrics.closed.inc_by(sealed.segments);
                context.metrics.bytes.inc_by(sealed.bytes);
            }
            Err(error) => failed(context, &session, &error),
        }
    }
}

fn failed(context: &SealerContext, session: &str, error: &SealError) {
    context.metrics.failures.inc();
    tracing::warn!(session, %error, "segments are made later");
}

/// What was closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Segments.
    pub segments: u64,
    /// Their bytes, packed.
    pub bytes: u64,
}

/// Closes all segments of a session that are full. Does nothing while another sealer has the session, and leaves what
/// it made if the session's rows were redacted meanwhile.
///
/// # Errors
/// If Postgres cannot be used, or what it has is broken.
pub async fn seal_session(pool: &PgPool, session: &str) -> Result<Sealed, SealError> {
    let mut sealed = Sealed::default();
    while seal_some(pool, session, &mut sealed).await? {}
    Ok(sealed)
}

/// One transaction. True if there may be more to seal.
async fn seal_some(pool: &PgPool, session: &str, sealed: &mut Sealed) -> Result<bool, SealError> {
    let id = SessionId::parse(session)?;
    let mut transaction = pool.begin().await?;
    let Some(head) = store::take_session(&mut transaction, session).await? else {
        return Ok(false);
    };
    let mut builder = SegmentBuilder::from_keyframe(keyframe_of(head.open.as_ref())?);
    fold_rows(&mut transaction, &id, head.position, &mut builder).await?;
    let is_cut = builder.position() < head.position && builder.closed_bytes() > 0;
    let seal_at = match is_cut {
        true => builder.position(),
        false => builder.may_close_at(),
    };
    if !store::look_again_at(&mut transaction, session, head.fold_version, seal_at).await? {
        return Ok(false);
    }
    if head.is_outdated {
        store::forget(&mut transaction, session).await?;
    }
    let (segments, files) = builder.finish()?;
    if !segments.is_empty() {
        store::write(&mut transaction, session, &segments, &files).await?;
    }
    transaction.commit().await?;
    for closed in segments.iter().filter(|segment| segment.last_position.is_some()) {
        sealed.segments += 1;
        sealed.bytes += closed.content.len() as u64;
    }
    Ok(is_cut)
}

fn keyframe_of(open: Option<&StoredSegment>) -> Result<Keyframe, SegmentError> {
    let start = Workspace::new().keyframe();
    let Some(open) = open else { return Ok(start) };
    let text = SegmentText::unpack(&open.content)?;
    Ok(Keyframe::from_json(text.keyframe())?.unwrap_or(start))
}

/// Folds the rows behind the open segment's keyframe, until there are no more or enough to write.
pub(super) async fn fold_rows(
    connection: &mut PgConnection,
    session: &SessionId,
    until: i64,
    builder: &mut SegmentBuilder,
) -> Result<(), SealError> {
    while builder.position() < until && builder.closed_bytes() < WRITE_BYTES {
        let query = EventsQuery {
            session,
            after: builder.position(),
            before: until + 1,
            kinds: &[],
            backwards: false,
            limit_rows: PAGE_ROWS,
            limit_bytes: PAGE_BYTES,
        };
        let page = events_page_on(connection, &query).await?.events;
        if page.is_empty() {
            break;
        }
        for event in &page {
            if let Some(sha256) = builder.wants(event)
                && let Some(content) = segments::file_content(connection, session, &sha256).await?
            {
                builder.supply(sha256, &content);
            }
            builder.push(event)?;
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}
