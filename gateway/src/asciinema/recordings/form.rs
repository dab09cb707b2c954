//! The form that a recording comes in: held whole, within a bound.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use multer::Multipart;
use tokio_util::io::ReaderStream;

use crate::asciinema::{Seen, checked_title};
use crate::config::Visibility;
use crate::ingest::{HeldBody, announced_bytes, decoded, read_away};
use crate::json::media_type;
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// Of a file. Larger ones are for `kulti import`, which reads as it sends.
const MAX_FILE_BYTES: usize = 64 << 20;
/// Of everything else in the form.
const MAX_FIELD_BYTES: usize = 64 << 10;
/// What a form has around its fields.
const FRAME_BYTES: u64 = 256 << 10;
/// For the form to arrive, over a slow line too.
const ARRIVES_WITHIN: Duration = Duration::from_secs(5 * 60);
/// Of what is too large so much is read and thrown away.
const READ_AWAY_BYTES: u64 = 1 << 30;

/// What was sent.
pub(super) struct Form {
    pub(super) file: HeldBody,
    pub(super) name: String,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) visibility: Option<Visibility>,
}

/// Reads the form of a request.
pub(super) async fn read_form(state: &AppState, headers: &HeaderMap, body: Body) -> Result<Form, Problem> {
    let form = tokio::time::timeout(ARRIVES_WITHIN, read(state, headers, body))
        .await
        .map_err(|_| {
            let detail = format!(
                "the recording did not arrive within {} seconds",
                ARRIVES_WITHIN.as_secs()
            );
            Problem::new(Code::RequestTimeout, detail)
        })??;
    state.metrics.record_ingest_bytes(form.file.bytes.len());
    Ok(form)
}

async fn read(state: &AppState, headers: &HeaderMap, body: Body) -> Result<Form, Problem> {
    let content_type = headers.get(CONTENT_TYPE);
    let boundary = match media_type(content_type).as_deref() {
        Some("multipart/form-data") => content_type
            .and_then(|value| value.to_str().ok())
            .and_then(|value| multer::parse_boundary(value).ok()),
        _ => None,
    };
    let boundary = boundary.ok_or_else(|| {
        Problem::new(
            Code::UnsupportedMediaType,
            "send the recording as multipart/form-data, as asciinema does",
        )
    })?;
    let mut reader = decoded(headers, body)?;
    if announced_bytes(headers) > MAX_FILE_BYTES as u64 + FRAME_BYTES {
        read_away(&mut reader, READ_AWAY_BYTES).await;
        return Err(too_large());
    }
    let mut form = Multipart::new(ReaderStream::new(reader), boundary);
    let (mut file, mut name) = (None, String::new());
    let (mut title, mut description, mut visibility) = (None, None, None);
    while let Some(mut field) = form.next_field().await.map_err(unreadable)? {
        let field_name = field.name().unwrap_or_default().to_owned();
        let is_file = matches!(field_name.as_str(), "file" | "asciicast");
        if is_file {
            field.file_name().unwrap_or_default().clone_into(&mut name);
        }
        let most = if is_file { MAX_FILE_BYTES } else { MAX_FIELD_BYTES };
        let mut held = HeldBody::new(&state.ingest)?;
        while let Some(chunk) = field.chunk().await.map_err(unreadable)? {
            if held.bytes.len() + chunk.len() > most {
                return Err(match is_file {
                    true => too_large(),
                    false => Problem::field(Code::InvalidField, field_name, "is too long"),
                });
            }
            held.extend(&state.ingest, &chunk)?;
        }
        let text = |held: HeldBody| {
            String::from_utf8(held.bytes)
                .map_err(|_| Problem::field(Code::InvalidField, field_name.as_str(), "is not UTF-8"))
        };
        match field_name.as_str() {
            "file" | "asciicast" => file = Some(held),
            "title" => title = checked_title(Some(text(held)?))?,
            "description" => description = Some(text(held)?),
            "visibility" => visibility = Some(seen(&text(held)?)?),
            _ => {}
        }
    }
    let file =
        file.ok_or_else(|| Problem::field(Code::MissingField, "file", "`file` is needed: the recording"))?;
    Ok(Form {
        file,
        name,
        title,
        description,
        visibility,
    })
}

fn seen(text: &str) -> Result<Visibility, Problem> {
    serde_json::from_value::<Seen>(text.into())
        .map(Visibility::from)
        .map_err(|_| {
            Problem::field(
                Code::InvalidField,
                "visibility",
                "must be public, unlisted or private",
            )
        })
}

fn too_large() -> Problem {
    let detail = format!(
        "a recording may have at most {} MiB here; `kulti import FILE` takes larger ones",
        MAX_FILE_BYTES >> 20
    );
    Problem::new(Code::BodyTooLarge, detail)
}

fn unreadable(error: multer::Error) -> Problem {
    Problem::new(Code::InvalidBody, format!("the form cannot be read: {error}"))
}
