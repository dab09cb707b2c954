//! `/api/v1/recordings` and, for version 2 of the command line, `/api/asciicasts`: a recording as a form.
//!
//! The form is held whole, within a bound, so that a file that is none writes nothing. It is read by the adapter that
//! `kulti import` uses and gives the same events with the same ids: a recording that is here already adds nothing.

mod form;

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use kulti_adapters::{DETECTION_BYTES, Format, ImportedEvent, Options, Reader, detect};
use kulti_schemas::{AgentId, EventId, SessionId, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use self::form::{Form, read_form};
use super::{AGENT, respond};
use crate::access::{Installation, Writer};
use crate::config::Visibility;
use crate::ingest::{ItemContext, ParsedEvent, parse_event, refuse_early, write_in_order};
use crate::json::JsonBody;
use crate::links::{base_url, session_url};
use crate::problem::{Code, Problem};
use crate::state::AppState;
use crate::store::{self, answered};

/// For its events to be written, as fast as the session's quota lets them.
const WRITTEN_WITHIN: Duration = Duration::from_secs(9 * 60);
const BATCH_EVENTS: usize = 1_000;
const BATCH_BYTES: usize = 2 << 20;

/// A recording that is here now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RecordingAnswer {
    /// The session.
    id: String,
    /// Its page: what the command line prints.
    url: String,
    /// The recording, made of what is here.
    file_url: String,
    /// What a person should know, and the page: printed instead of `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Takes a recording in: asciicast 2 or 3. Private unless told.
#[utoipa::path(
    post, path = "/api/v1/recordings", tag = "asciinema",
    request_body(content = serde_json::Value, content_type = "multipart/form-data",
        description = "`file`: at most 64 MiB; `title`, `description`, `visibility` (public, unlisted, private)"),
    responses(
        (status = 201, body = RecordingAnswer),
        (status = 401, description = "This installation of asciinema is not connected with a key"),
        (status = 403, description = "`writes_closed`: there is no key yet"),
        (status = 413, description = "The file is too large"),
        (status = 415, description = "Not a form"),
        (status = 422, description = "No file, or not a recording"),
        (status = 503, description = "Not all of it could be written; upload it again"),
    ),
)]
pub(crate) async fn upload_recording(State(state): State<AppState>, request: Request) -> Response {
    respond(upload(&state, request).await)
}

/// The same for version 2 of the command line, which calls the file `asciicast`.
#[utoipa::path(
    post, path = "/api/asciicasts", tag = "asciinema",
    request_body(content = serde_json::Value, content_type = "multipart/form-data",
        description = "`asciicast`, as `file` of `/api/v1/recordings`"),
    responses((status = 201, body = RecordingAnswer), (status = 422, description = "No file, or not a recording")),
)]
pub(crate) async fn upload_asciicast(State(state): State<AppState>, request: Request) -> Response {
    respond(upload(&state, request).await)
}

async fn upload(state: &AppState, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let installation = Installation::of(state, &parts.headers, &parts.extensions).await?;
    refuse_early(state, &installation.writer).await?;
    let form = read_form(state, &parts.headers, body).await?;
    check_format(&form.file.bytes)?;
    let writing = write(state, &installation.writer, &form);
    let written = tokio::time::timeout(WRITTEN_WITHIN, writing).await.map_err(|_| {
        let detail = "the recording could not be written to its end in time; upload it again: what is here already \
                      counts once";
        Problem::new(Code::LogUnavailable, detail).retry_after(5)
    })??;
    Ok(answer(&base_url(state, &parts.headers), &written))
}

fn check_format(file: &[u8]) -> Result<(), Problem> {
    let beginning = &file[..file.len().min(DETECTION_BYTES)];
    if detect(beginning) == Some(Format::Asciicast) {
        return Ok(());
    }
    // Version 1 is one JSON object, with everything in it.
    let is_first_version = serde_json::from_slice::<Value>(file).is_ok_and(|value| value["version"] == 1);
    let detail = match is_first_version {
        true => "asciicast version 1 is not taken: `asciinema convert` makes a newer one of it",
        false => "this is no recording: its first line is not the header of asciicast version 2 or 3",
    };
    Err(Problem::field(Code::InvalidField, "file", detail))
}

/// What became of a recording.
struct Written {
    session: SessionId,
    /// Why events are not there, the first of them, and how many.
    refused: (usize, Option<Problem>),
    unreadable_lines: u64,
}

async fn write(state: &AppState, writer: &Writer, form: &Form) -> Result<Written, Problem> {
    let agent = AgentId::parse(writer.only_agent().unwrap_or(AGENT))
        .map_err(|error| Problem::field(Code::InvalidId, "agent", error.to_string()))?;
    let visibility = form.visibility.unwrap_or(Visibility::Private);
    let mut reader = Reader::new(
        Format::Asciicast,
        Options {
            agent: Some(agent.clone()),
            visibility: Some(visibility.as_str().to_owned()),
            title: form.title.clone(),
            name: form.name.clone(),
            time: Some(Timestamp::now()),
            masker: state.masking.masker_for(agent.as_str()),
            ..Options::default()
        },
    );
    let mut log = Log {
        state,
        writer,
        events: Vec::new(),
        bytes: 0,
        refused: (0, None),
        before: None,
        session: None,
    };
    let mut events = Vec::new();
    for line in form.file.bytes.split(|byte| *byte == b'\n') {
        reader.read_line(line.strip_suffix(b"\r").unwrap_or(line), &mut events);
        log.add(&mut events).await?;
    }
    reader.finish(&mut events);
    log.add(&mut events).await?;
    state.masking.record(&reader.report().masked);
    let session = log
        .session
        .clone()
        .ok_or_else(|| Problem::field(Code::InvalidField, "file", "this recording has no events"))?;
    // Its start says nothing new if it is here already, so what this upload says about it is said by an event of its own.
    if log.before == Some(true) && form.says_something() {
        log.push(form.update(&session, &agent)).await?;
        log.push(ended_again(&session, &agent)).await?;
    }
    log.flush().await?;
    Ok(Written {
        session,
        refused: log.refused,
        unreadable_lines: reader.report().unreadable_lines,
    })
}

impl Form {
    fn says_something(&self) -> bool {
        self.title.is_some() || self.description.is_some() || self.visibility.is_some()
    }

    fn update(&self, session: &SessionId, agent: &AgentId) -> String {
        let mut data = serde_json::Map::new();
        for (name, text) in [
            ("title", self.title.as_deref()),
            ("description", self.description.as_deref()),
            ("visibility", self.visibility.map(Visibility::as_str)),
        ] {
            if let Some(text) = text {
                data.insert(name.to_owned(), text.into());
            }
        }
        line("session.updated", session, agent, data.into())
    }
}

/// What is said about a session opens it again.
fn ended_again(session: &SessionId, agent: &AgentId) -> String {
    line("session.ended", session, agent, json!({"reason": "completed"}))
}

fn line(kind: &str, session: &SessionId, agent: &AgentId, data: Value) -> String {
    json!({"id": EventId::generate(), "session": session, "agent": agent, "kind": kind, "data": data})
        .to_string()
}

/// Writes batch after batch.
struct Log<'a> {
    state: &'a AppState,
    writer: &'a Writer,
    events: Vec<ParsedEvent>,
    bytes: usize,
    refused: (usize, Option<Problem>),
    session: Option<SessionId>,
    /// Whether the session was here before.
    before: Option<bool>,
}

impl Log<'_> {
    async fn add(&mut self, events: &mut Vec<ImportedEvent>) -> Result<(), Problem> {
        for event in events.drain(..) {
            if self.session.is_none() {
                let known = answered(store::session_row(&self.state.pool, &event.session)).await?;
                self.before = Some(known.is_some());
                self.session = Some(event.session.clone());
            }
            self.push(event.to_json()).await?;
        }
        Ok(())
    }

    async fn push(&mut self, json: String) -> Result<(), Problem> {
        let context = ItemContext {
            received: Timestamp::now(),
            idempotency_key: None,
            only_agent: self.writer.only_agent(),
        };
        match parse_event(&Ok(&json), 0, &context) {
            Ok(event) => {
                self.bytes += json.len();
                self.events.push(event);
            }
            Err(refusal) => self.refuse(vec![refusal.problem]),
        }
        if self.events.len() >= BATCH_EVENTS || self.bytes >= BATCH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Problem> {
        self.bytes = 0;
        let events = std::mem::take(&mut self.events);
        let refused = write_in_order(self.state, self.writer, events).await?;
        self.refuse(refused);
        Ok(())
    }

    fn refuse(&mut self, problems: Vec<Problem>) {
        self.refused.0 += problems.len();
        self.refused.1 = self.refused.1.take().or(problems.into_iter().next());
    }
}

fn answer(base: &str, written: &Written) -> Response {
    let session = written.session.as_str();
    let url = session_url(base, session);
    let mut notes = Vec::new();
    if let (count @ 1.., Some(problem)) = &written.refused {
        notes.push(format!("{count} events were not taken: {}", problem.detail));
    }
    if written.unreadable_lines > 0 {
        notes.push(format!(
            "{} lines are no JSON and were kept as they are.",
            written.unreadable_lines
        ));
    }
    let message = (!notes.is_empty()).then(|| format!("{}\n{url}", notes.join("\n")));
    let location = HeaderValue::from_str(&url).ok();
    let file_url = format!("{base}/v1/sessions/{session}/export?format=asciicast");
    let body = JsonBody(RecordingAnswer {
        id: session.to_owned(),
        url,
        file_url,
        message,
    });
    let mut response = (StatusCode::CREATED, body).into_response();
    if let Some(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
