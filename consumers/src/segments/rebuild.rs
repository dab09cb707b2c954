//! Segments compared with their rows, for `kulti rebuild`.
//!
//! A session's rows are folded anew, in one snapshot, by the builder that the sealer uses; nothing is written while what
//! is stored is the same. One that differs loses its segments and is sealed anew; meanwhile it is read from its rows.

use kulti_schemas::SessionId;
use kulti_session::{FOLD, Workspace};
use kulti_tables::segments::StoredSegment;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};

use super::builder::{PackedFile, PackedSegment, SegmentBuilder};
use super::sealer::{SealError, fold_rows, seal_session};
use super::store;

/// Sessions that are looked up at a time.
const SESSIONS: i64 = 1_000;

/// What was found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RebuiltSegments {
    /// Sessions that were compared.
    pub sessions: i64,
    /// Their segments.
    pub segments: i64,
    /// Those whose segments were not what their rows give; they are now.
    pub made_anew: Vec<String>,
}

/// Compares one session, or all that are long enough to have segments, and makes anew what differs. `told` gets how
/// many were compared, and of how many.
///
/// # Errors
/// If Postgres cannot be used.
pub async fn rebuild(
    pool: &PgPool,
    session: Option<&SessionId>,
    mut told: impl FnMut(i64, i64),
) -> Result<RebuiltSegments, SealError> {
    let mut rebuilt = RebuiltSegments::default();
    if let Some(session) = session {
        rebuild_session(pool, session, &mut rebuilt).await?;
        return Ok(rebuilt);
    }
    store::forget_strays(pool).await?;
    let of = store::count_sessions(pool).await?;
    let mut after = String::new();
    loop {
        let sessions = store::sessions_after(pool, &after, SESSIONS).await?;
        let Some(last) = sessions.last() else {
            return Ok(rebuilt);
        };
        after.clone_from(last);
        for session in &sessions {
            rebuild_session(pool, &SessionId::parse(session)?, &mut rebuilt).await?;
            told(rebuilt.sessions, of.max(rebuilt.sessions));
        }
    }
}

async fn rebuild_session(
    pool: &PgPool,
    session: &SessionId,
    rebuilt: &mut RebuiltSegments,
) -> Result<(), SealError> {
    let id = session.as_str();
    loop {
        match compare(pool, session).await? {
            Compared::Same(segments) => {
                rebuilt.segments += segments;
                break;
            }
            Compared::Other { fold_version } => {
                if store::begin_anew(pool, id, fold_version).await? {
                    rebuilt.made_anew.push(id.to_owned());
                    break;
                }
            }
        }
    }
    // Nor may the sealer have come to it yet.
    seal_session(pool, id).await?;
    rebuilt.sessions += 1;
    Ok(())
}

enum Compared {
    /// So many segments are what the rows give.
    Same(i64),
    /// They are not what the rows of this version give.
    Other { fold_version: i64 },
}

async fn compare(pool: &PgPool, session: &SessionId) -> Result<Compared, SealError> {
    // What was redacted or sealed meanwhile is seen as a whole or not at all.
    let mut snapshot = pool
        .begin_with("begin isolation level repeatable read read only")
        .await?;
    let Some((position, fold_version)) = store::versions(&mut snapshot, session.as_str()).await? else {
        return Ok(Compared::Same(0));
    };
    let mut comparison = Comparison {
        session: session.as_str(),
        next: store::next_segment(&mut snapshot, session.as_str(), 0).await?,
        segments: 0,
        files: 0,
        is_at_end: false,
        ends_open: true,
    };
    let mut builder = SegmentBuilder::from_keyframe(Workspace::new().keyframe());
    let mut is_same = true;
    while is_same && comparison.next.is_some() && !comparison.is_at_end {
        let before = builder.position();
        fold_rows(&mut snapshot, session, position, &mut builder).await?;
        let is_last = builder.position() == before || builder.position() >= position;
        let (mut segments, files) = builder.take_closed();
        if is_last {
            segments.push(builder.open()?);
            comparison.is_at_end = true;
        }
        is_same = comparison.go_on(&mut snapshot, &segments, &files).await?;
    }
    let files = store::count_files(&mut snapshot, session.as_str()).await?;
    // Whatever is left belongs to no row.
    is_same = is_same && comparison.next.is_none() && comparison.ends_open && comparison.files == files;
    snapshot.commit().await?;
    Ok(match is_same {
        true => Compared::Same(comparison.segments),
        false => Compared::Other { fold_version },
    })
}

/// How far stored segments were compared with those that were made of the rows.
struct Comparison<'a> {
    session: &'a str,
    /// The next one that is stored, and which fold made it.
    next: Option<(i32, StoredSegment)>,
    segments: i64,
    files: i64,
    is_at_end: bool,
    /// The last one that was compared is open, or there is none.
    ends_open: bool,
}

impl Comparison<'_> {
    /// False at the first difference.
    async fn go_on(
        &mut self,
        connection: &mut PgConnection,
        segments: &[PackedSegment],
        files: &[PackedFile],
    ) -> Result<bool, SealError> {
        let mut until = i64::MAX;
        for segment in segments {
            let Some((fold, stored)) = &self.next else { break };
            if *fold != FOLD as i32 || !is_same_segment(stored, segment)? {
                return Ok(false);
            }
            let first_position = stored.first_position;
            self.ends_open = stored.last_position.is_none();
            if self.ends_open {
                // The sealer has not closed it yet; there is nothing behind it.
                until = first_position;
                self.is_at_end = true;
            }
            self.segments += 1;
            self.next = store::next_segment(connection, self.session, first_position).await?;
        }
        for file in files.iter().filter(|file| file.first_position <= until) {
            let stored = store::stored_file(connection, self.session, &file.sha256).await?;
            let is_same = stored.is_some_and(|(first_position, content)| {
                first_position == file.first_position && hash_of_packed(&content) == Some(file.sha256)
            });
            if !is_same {
                return Ok(false);
            }
            self.files += 1;
        }
        Ok(true)
    }
}

fn is_same_segment(stored: &StoredSegment, made: &PackedSegment) -> Result<bool, SealError> {
    let opened;
    let made = match (stored.last_position, made.last_position) {
        (None, Some(_)) => {
            opened = PackedSegment::open(made.first_position, &made.content)?;
            &opened
        }
        _ => made,
    };
    Ok(stored.first_position == made.first_position
        && stored.last_position == made.last_position
        && stored.sha256 == made.sha256
        && hash_of_packed(&stored.content) == Some(made.sha256))
}

/// Of the content, unpacked; `None` if it cannot be.
fn hash_of_packed(packed: &[u8]) -> Option<[u8; 32]> {
    zstd::decode_all(packed)
        .ok()
        .map(|content| Sha256::digest(content).into())
}
