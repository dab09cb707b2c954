//! `GET /v1/sessions/{id}/segments`: closed segments, packed as they are stored, for clients that unpack them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use kulti_schemas::SessionId;
use kulti_tables::segments::{SegmentText, StoredSegment, segment_of_hash, segments_of};
use moka::future::Cache;
use serde::Serialize;

use crate::access;
use crate::answers::ADDED_HEADERS;
use crate::etag::is_known;
use crate::json::JsonBody;
use crate::path::{PathPair, PathSegment};
use crate::problem::{Code, Problem};
use crate::reads::cursor::{read_place, write_place};
use crate::reads::parameters::Parameters;
use crate::reads::visible_session;
use crate::state::AppState;
use crate::store::{self, SessionAccess, answered};

/// Bytes of packed segments that are kept.
const HOT_BYTES: u64 = 64 << 20;
/// How long an answer of the database counts: whether there is this segment, and who may see it.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// So many of them; their contents stay with them.
const ASKED: u64 = 2_000;
/// Headers of its own that a segment is sent with.
const OWN_HEADERS: usize = 5;

type HotKey = (SessionId, [u8; 32]);

/// Packed segments by their content's hash, and what the database said about them.
pub(super) struct HotSegments {
    contents: Cache<HotKey, Bytes>,
    found: Cache<HotKey, Arc<FoundSegment>>,
}

/// A segment that is there, as far as was asked a moment ago.
struct FoundSegment {
    access: SessionAccess,
    etag: HeaderValue,
    /// Once somebody wanted it.
    packed: OnceLock<Bytes>,
}

impl Default for HotSegments {
    fn default() -> Self {
        HotSegments {
            contents: Cache::builder()
                .max_capacity(HOT_BYTES)
                .weigher(|_, bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX))
                .build(),
            found: Cache::builder()
                .max_capacity(ASKED)
                .time_to_live(ASK_AGAIN)
                .build(),
        }
    }
}

impl HotSegments {
    /// Rows have changed: the database is asked before anything is sent again.
    pub(super) fn ask_again(&self) {
        self.found.invalidate_all();
    }
}

/// A closed segment.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SegmentView {
    /// Its first event; its keyframe is the state before.
    from: i64,
    /// Its last event.
    to: i64,
    /// Of its content, unpacked.
    sha256: String,
    /// Of its content, unpacked.
    bytes: i64,
    /// Where it is.
    url: String,
}

/// A page of segments.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SegmentsPage {
    items: Vec<SegmentView>,
    /// Give it as `cursor` for the next page; null on the last one.
    next: Option<String>,
}

/// Lists a session's closed segments in order. What comes after the last of them is in `/events`.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/segments", tag = "read",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("limit" = Option<i64>, Query, description = "1 to 1,000, default 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, body = SegmentsPage), (status = 404, description = "Not there, or not for this reader")),
)]
pub(crate) async fn list_segments(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<JsonBody<SegmentsPage>, Problem> {
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    let (session, _) = visible_session(&state, &reader, &id).await?;
    let parameters = Parameters::of(request.uri())?;
    let limit = parameters.limit()?;
    let after = parameters.text("cursor").map(read_place).transpose()?;
    let after = after.map_or(0, |(position, _)| position);
    let rows = answered(segments_of(&state.pool, &session, after, limit + 1)).await?;
    let has_more = rows.len() as i64 > limit;
    let items: Vec<SegmentView> = rows
        .iter()
        .take(limit as usize)
        .map(|row| SegmentView::of(&session, row))
        .collect();
    let next = items
        .last()
        .filter(|_| has_more)
        .map(|last| write_place(last.from, ""));
    Ok(JsonBody(SegmentsPage { items, next }))
}

impl SegmentView {
    /// Of a segment that is closed.
    pub(crate) fn of(session: &SessionId, row: &StoredSegment) -> Self {
        let sha256 = hex(&row.sha256);
        SegmentView {
            from: row.first_position,
            to: row.last_position.unwrap_or(row.first_position),
            bytes: row.bytes,
            url: format!("/v1/sessions/{session}/segments/{sha256}"),
            sha256,
        }
    }
}

/// A closed segment: a line with the state before it (the keyframe), then a line per event, as `/events` has them.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/segments/{sha256}", tag = "read",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("sha256" = String, Path, description = "Of the content, unpacked: 64 hexadecimal digits"),
    ),
    responses(
        (status = 200, body = String, content_type = "application/x-ndjson",
            description = "With `Content-Encoding: zstd` for those who accept it"),
        (status = 304, description = "`If-None-Match` has its hash"),
        (status = 404, description = "Not there, or not any more, or not for this reader"),
    ),
)]
pub(crate) async fn get_segment(
    State(state): State<AppState>,
    PathPair(id, sha256): PathPair,
    request: Request,
) -> Result<Response, Problem> {
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    let session = SessionId::parse(&id).map_err(|_| Problem::not_found())?;
    let hash = parse_hash(&sha256).ok_or_else(Problem::not_found)?;
    if state.live.is_erased(&session) {
        return Err(Problem::not_found());
    }
    let key = (session, hash);
    let hot = &state.replays.hot;
    let found = match hot.found.get(&key).await {
        Some(found) => found,
        // Apart: what is awaited there would make every request's future large.
        None => Box::pin(find(&state, &key)).await?,
    };
    let access = &found.access;
    if !reader.may_read(access.visibility.as_deref(), access.owner.as_deref()) {
        return Err(Problem::not_found());
    }
    let is_public = reader.is_public(access.visibility.as_deref());
    if is_known(request.headers(), &found.etag) {
        return Ok((StatusCode::NOT_MODIFIED, found.headers(is_public)).into_response());
    }
    let packed = match found.packed.get() {
        Some(packed) => packed.clone(),
        None => Box::pin(packed(&state, &key, &found)).await?,
    };
    let mut headers = found.headers(is_public);
    let body = if accepts_zstd(request.headers()) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("zstd"));
        Body::from(packed)
    } else {
        let text = SegmentText::unpack(&packed).map_err(|error| {
            tracing::error!(session = %key.0, %error, "a segment is broken: `kulti rebuild` makes it anew");
            Problem::new(
                Code::Internal,
                "what is stored of this session's replay is broken",
            )
        })?;
        Body::from(text.into_text())
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    Ok(response)
}

/// Whether there is such a segment, and who may see it: asked once a second for all.
async fn find(state: &AppState, key: &HotKey) -> Result<Arc<FoundSegment>, Problem> {
    let ask = async {
        let (session, hash) = key;
        let access = answered(store::access_of_segment(&state.pool, session, hash)).await?;
        let access = access.ok_or_else(Problem::not_found)?;
        let etag = HeaderValue::try_from(format!("W/\"{}\"", hex(hash)));
        Ok(Arc::new(FoundSegment {
            access,
            etag: etag.expect("hexadecimal digits in quotes are a header's value"),
            packed: OnceLock::new(),
        }))
    };
    let found = state.replays.hot.found.try_get_with_by_ref(key, ask).await;
    found.map_err(|problem: Arc<Problem>| Problem::clone(&problem))
}

async fn packed(state: &AppState, key: &HotKey, found: &FoundSegment) -> Result<Bytes, Problem> {
    let read = async {
        let (session, hash) = key;
        let stored = answered(segment_of_hash(&state.pool, session, hash)).await?;
        let stored = stored.ok_or_else(Problem::not_found)?;
        Ok(Bytes::from(stored.content))
    };
    let packed = state.replays.hot.contents.try_get_with_by_ref(key, read).await;
    let packed = packed.map_err(|problem: Arc<Problem>| Problem::clone(&problem))?;
    Ok(found.packed.get_or_init(|| packed).clone())
}

impl FoundSegment {
    /// What is sent beside it.
    fn headers(&self, is_public: bool) -> HeaderMap {
        // A redaction or an erasure must not be outlived for long by copies that are out of reach.
        let caching = match is_public {
            true => "public, max-age=300",
            false => "private, no-store",
        };
        let mut headers = HeaderMap::with_capacity(OWN_HEADERS + ADDED_HEADERS);
        for (name, value) in [
            (CONTENT_TYPE, "application/x-ndjson"),
            (VARY, "accept-encoding, authorization"),
            (CACHE_CONTROL, caching),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(ETAG, self.etag.clone());
        headers
    }
}

fn accepts_zstd(headers: &HeaderMap) -> bool {
    let given = headers.get_all(ACCEPT_ENCODING).iter();
    given.filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_zstd = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("zstd"));
            is_zstd && !parts.any(|weight| weight == "q=0" || weight == "q=0.0")
        })
    })
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut hash = [0; 32];
    for (byte, [high, low]) in hash.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = u8::try_from(char::from(*high).to_digit(16)? << 4 | char::from(*low).to_digit(16)?).ok()?;
    }
    Some(hash)
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
