//! What one client says for others: one after the other, beside everything else that its socket does.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kulti_schemas::EventId;
use serde_json::json;

use crate::access::{Credentials, Reader};
use crate::live::{Format, FrameType, plain};
use crate::problem::Problem;
use crate::reads::visible_session;
use crate::state::AppState;
use crate::viewers::{Remark, RemarkId, write};

/// What may wait; a viewer's quota is far below.
const WAITING: usize = 16;

/// A remark about a session.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) session: String,
    /// The client's name for the subscription.
    pub(super) sub: Option<String>,
    pub(super) remark: Remark,
    /// The event's id, if the client made it.
    pub(super) id: Option<EventId>,
}

/// The remarks of one socket.
pub(super) struct Remarks {
    state: AppState,
    reader: Reader,
    credentials: Credentials,
    waiting: VecDeque<Said>,
    /// The one that is being written; ends with the frame that answers it.
    writing: Option<BoxFuture<'static, Bytes>>,
}

impl Remarks {
    pub(super) fn new(state: AppState, reader: Reader, credentials: Credentials) -> Self {
        Remarks {
            state,
            reader,
            credentials,
            waiting: VecDeque::new(),
            writing: None,
        }
    }

    /// False, and the remark is not taken, when too many wait.
    pub(super) fn push(&mut self, said: Said) -> bool {
        if self.waiting.len() >= WAITING {
            return false;
        }
        self.waiting.push_back(said);
        self.begin();
        true
    }

    /// The next answer. Can be dropped and called again.
    pub(super) async fn next(&mut self) -> Bytes {
        let Some(writing) = &mut self.writing else {
            return std::future::pending().await;
        };
        let frame = writing.await;
        self.writing = None;
        self.begin();
        frame
    }

    fn begin(&mut self) {
        if self.writing.is_none()
            && let Some(said) = self.waiting.pop_front()
        {
            let (state, reader) = (self.state.clone(), self.reader.clone());
            let credentials = self.credentials.clone();
            self.writing = Some(answer(state, reader, credentials, said).boxed());
        }
    }
}

async fn answer(state: AppState, reader: Reader, credentials: Credentials, said: Said) -> Bytes {
    let (session, sub, id) = (said.session.clone(), said.sub.clone(), said.id);
    let mut fields = json!({});
    if let Some(sub) = sub {
        fields["sub"] = sub.into();
    }
    if let Some(id) = id {
        fields["id"] = id.to_string().into();
    }
    match log(&state, &reader, &credentials, said).await {
        Ok(event) => {
            fields["session"] = session.into();
            fields["event"] = event.to_string().into();
            plain(Format::WebSocket, FrameType::Accepted, fields)
        }
        Err(problem) => {
            fields["code"] = problem.code.as_str().into();
            fields["detail"] = problem.detail.into();
            fields["retryable"] = problem.retry_after.is_some().into();
            if let Some(field) = problem.field {
                fields["field"] = field.into();
            }
            plain(Format::WebSocket, FrameType::Error, fields)
        }
    }
}

async fn log(
    state: &AppState,
    reader: &Reader,
    credentials: &Credentials,
    said: Said,
) -> Result<EventId, Problem> {
    let viewer = credentials.viewer(state).await?;
    let (session, access) = visible_session(state, reader, &said.session).await?;
    let id = said.id.map_or(RemarkId::New, RemarkId::Given);
    write(state, &viewer, (&session, &access), said.remark, id).await
}
