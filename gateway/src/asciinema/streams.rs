//! `/api/v1/streams` and `/api/v1/user/streams`: a stream is a session that a producer's socket writes, with a number
//! for asciinema's clients.
//!
//! Making one begins the session, so that its page is there before its terminal is.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use kulti_adapters::terminal_title;
use kulti_schemas::{AgentId, Event, EventId, Kind, Meta, SessionId, Source, Timestamp};
use rand::RngExt;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::{AGENT, AGENT_NAME, Seen, checked_title, respond};
use crate::access::{Installation, Writer};
use crate::config::Visibility;
use crate::control::asciinema::{self, Stream, hash_token};
use crate::ingest::{ParsedEvent, read_body, refuse_early, write_in_order};
use crate::json::{JsonBody, require_json};
use crate::links::{base_url, session_url};
use crate::path::PathSegment;
use crate::problem::{Code, Problem};
use crate::reads::parameters::{Parameters, invalid};
use crate::state::AppState;
use crate::store::answered;

/// Characters of a stream's session: short enough to be typed, as in `asciinema stream --remote PREFIX`.
const ID_CHARACTERS: usize = 16;
const LISTED: i64 = 10;
const MOST_LISTED: i64 = 100;
/// For the log to take one event; the client is told to come back after it.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);

/// What a client says about a stream; all of it may be left out. `null` says nothing.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
pub(crate) struct StreamRequest {
    /// False ends the session.
    live: Option<bool>,
    title: Option<String>,
    description: Option<String>,
    #[schema(inline)]
    visibility: Option<Seen>,
    audio_url: Option<String>,
    term_type: Option<String>,
    term_version: Option<String>,
    shell: Option<String>,
    #[schema(value_type = Option<Object>)]
    env: Option<Map<String, Value>>,
}

/// A stream, as asciinema's clients know it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct StreamAnswer {
    id: i64,
    /// The session's page.
    url: String,
    /// Where its producer connects. Whoever knows it writes the session.
    ws_producer_url: String,
}

/// Makes a stream, and begins its session: private unless told.
#[utoipa::path(
    post, path = "/api/v1/streams", tag = "asciinema", request_body = StreamRequest,
    responses(
        (status = 200, body = StreamAnswer),
        (status = 401, description = "This installation of asciinema is not connected with a key"),
        (status = 403, description = "`writes_closed`: there is no key yet"),
        (status = 422, description = "A field is not valid"),
        (status = 503, description = "Nothing could be written; try again"),
    ),
)]
pub(crate) async fn create_stream(State(state): State<AppState>, request: Request) -> Response {
    respond(create(&state, request).await)
}

async fn create(state: &AppState, request: Request) -> Result<Response, Problem> {
    let (asked, installation, base) = read(state, request).await?;
    let writer = &installation.writer;
    let agent = AgentId::parse(writer.only_agent().unwrap_or(AGENT))
        .map_err(|error| Problem::field(Code::InvalidId, "agent", error.to_string()))?;
    let session = SessionId::parse(&random_id()).expect("letters and digits are a session's id");
    let mut about = asked.about()?;
    let user = Some(installation.user.as_str()).filter(|user| !user.is_empty());
    let title = || terminal_title(user, None, asked.shell.as_deref()).into();
    about.entry("title").or_insert_with(title);
    about
        .entry("visibility")
        .or_insert_with(|| Visibility::Private.as_str().into());
    about.insert("agent_name".to_owned(), AGENT_NAME.into());
    about.insert("tags".to_owned(), json!([AGENT]));
    let hash = hash_token(&installation.token(session.as_str()));
    let whose = (&session, &agent, writer.key_id());
    let id = answered(asciinema::create_stream(&state.pool, whose, &hash)).await?;
    let stream = Stream {
        id,
        session_id: session.as_str().to_owned(),
        agent_id: agent.as_str().to_owned(),
        key_id: writer.key_id().to_owned(),
    };
    write_about(state, writer, &stream, ("session.started", about)).await?;
    Ok(JsonBody(answer(&base, &installation, &stream)).into_response())
}

/// Changes what a stream's session says about itself.
#[utoipa::path(
    patch, path = "/api/v1/streams/{id}", tag = "asciinema", request_body = StreamRequest,
    params(("id" = i64, Path, description = "The stream's number")),
    responses(
        (status = 200, body = StreamAnswer),
        (status = 401, description = "This installation of asciinema is not connected with a key"),
        (status = 404, description = "No stream of this key"),
        (status = 422, description = "A field is not valid"),
    ),
)]
pub(crate) async fn update_stream(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Response {
    respond(update(&state, &id, request).await)
}

async fn update(state: &AppState, id: &str, request: Request) -> Result<Response, Problem> {
    let (asked, installation, base) = read(state, request).await?;
    let missing = || Problem::new(Code::NotFound, "there is no such stream of this key");
    let id: i64 = id.parse().map_err(|_| missing())?;
    let about = asked.about()?;
    let writer = &installation.writer;
    let hash = |session: &str| hash_token(&installation.token(session));
    let stream = answered(asciinema::take_up_stream(
        &state.pool,
        (writer.key_id(), id),
        hash,
    ))
    .await?;
    let stream = stream.ok_or_else(missing)?;
    if asked.live == Some(false) {
        let data = Map::from_iter([("reason".to_owned(), "completed".into())]);
        write_about(state, writer, &stream, ("session.ended", data)).await?;
    } else if !about.is_empty() {
        write_about(state, writer, &stream, ("session.updated", about)).await?;
    }
    Ok(JsonBody(answer(&base, &installation, &stream)).into_response())
}

/// Lists the streams of this key, the newest first.
#[utoipa::path(
    get, path = "/api/v1/user/streams", tag = "asciinema",
    params(
        ("prefix" = Option<String>, Query, description = "How the ids of their sessions begin: the end of `url`"),
        ("limit" = Option<i64>, Query, description = "At most so many; 10 unless told, 100 at most"),
    ),
    responses(
        (status = 200, body = Vec<StreamAnswer>),
        (status = 401, description = "This installation of asciinema is not connected with a key"),
    ),
)]
pub(crate) async fn list_streams(State(state): State<AppState>, request: Request) -> Response {
    respond(list(&state, request).await)
}

async fn list(state: &AppState, request: Request) -> Result<Response, Problem> {
    let installation = Installation::of(state, request.headers(), request.extensions()).await?;
    let parameters = Parameters::of(request.uri())?;
    let limit = limit(&parameters)?;
    let prefix = parameters.text("prefix").unwrap_or_default();
    let key_id = installation.writer.key_id();
    let streams = answered(asciinema::streams_of_key(&state.pool, key_id, prefix, limit)).await?;
    let base = base_url(state, request.headers());
    let answers: Vec<StreamAnswer> = streams
        .iter()
        .map(|stream| answer(&base, &installation, stream))
        .collect();
    Ok(JsonBody(answers).into_response())
}

fn limit(parameters: &Parameters) -> Result<i64, Problem> {
    match parameters.text("limit") {
        None => Ok(LISTED),
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MOST_LISTED).contains(limit))
            .ok_or_else(|| invalid("limit", "a number from 1 to 100")),
    }
}

/// What is asked, who asks, and where people reach this server.
async fn read(state: &AppState, request: Request) -> Result<(StreamRequest, Installation, String), Problem> {
    let (parts, body) = request.into_parts();
    let installation = Installation::of(state, &parts.headers, &parts.extensions).await?;
    require_json(&parts.headers)?;
    refuse_early(state, &installation.writer).await?;
    let body = read_body(state, &parts.headers, body).await?;
    let asked = serde_json::from_slice(&body.bytes)
        .map_err(|error| Problem::new(Code::InvalidJson, format!("the body is not a stream: {error}")))?;
    Ok((asked, installation, base_url(state, &parts.headers)))
}

impl StreamRequest {
    /// As an event's data.
    fn about(&self) -> Result<Map<String, Value>, Problem> {
        let visibility = self
            .visibility
            .map(|seen| Visibility::from(seen).as_str().to_owned());
        let texts = [
            ("title", checked_title(self.title.clone())?),
            ("description", self.description.clone()),
            ("visibility", visibility),
            ("audio_url", self.audio_url.clone()),
            ("shell", self.shell.clone()),
        ];
        let mut about: Map<String, Value> = texts
            .into_iter()
            .filter_map(|(name, text)| Some((name.to_owned(), text?.into())))
            .collect();
        if let Some(env) = &self.env {
            about.insert("env".to_owned(), env.clone().into());
        }
        if self.term_type.is_some() || self.term_version.is_some() {
            let term = json!({"type": self.term_type, "version": self.term_version});
            about.insert("term".to_owned(), term);
        }
        Ok(about)
    }
}

fn random_id() -> String {
    let random = rand::rng().sample_iter(Alphanumeric);
    random
        .take(ID_CHARACTERS)
        .map(|byte| char::from(byte).to_ascii_lowercase())
        .collect()
}

fn answer(base: &str, installation: &Installation, stream: &Stream) -> StreamAnswer {
    let socket = match base.strip_prefix("http") {
        Some(rest) => format!("ws{rest}"),
        None => base.to_owned(),
    };
    StreamAnswer {
        id: stream.id,
        url: session_url(base, &stream.session_id),
        ws_producer_url: format!("{socket}/ws/S/{}", installation.token(&stream.session_id)),
    }
}

/// Writes what is said about the session, not in it.
async fn write_about(
    state: &AppState,
    writer: &Writer,
    stream: &Stream,
    (kind, data): (&'static str, Map<String, Value>),
) -> Result<(), Problem> {
    let now = Timestamp::now();
    let event = event(stream, kind, &data, now)?;
    let writing = write_in_order(state, writer, vec![event]);
    let refused = tokio::time::timeout(WRITTEN_WITHIN, writing)
        .await
        .map_err(|_| Problem::log_unavailable())??;
    refused.into_iter().next().map_or(Ok(()), Err)
}

/// An event of a stream's session.
pub(super) fn event(
    stream: &Stream,
    kind: &'static str,
    data: &impl Serialize,
    time: Timestamp,
) -> Result<ParsedEvent, Problem> {
    let internal = || Problem::new(Code::Internal, "a stream has an event that cannot be written");
    let data: Box<RawValue> = to_raw_value(data).map_err(|_| internal())?;
    let meta = Meta {
        event_id: EventId::generate(),
        session_id: SessionId::parse(&stream.session_id).map_err(|_| internal())?,
        agent_id: AgentId::parse(&stream.agent_id).map_err(|_| internal())?,
        time,
        received: Timestamp::now(),
        source: Source::Agent,
        producer: None,
        generation: None,
        seq: None,
        cause: None,
        attributes: Default::default(),
    };
    Ok(ParsedEvent {
        bytes: data.get().len(),
        warning: None,
        event: Event {
            meta,
            kind: Kind::known(kind).ok_or_else(internal)?,
            data,
            raw: None,
            record: None,
        },
    })
}
