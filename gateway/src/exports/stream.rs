//! An export as the body of a response: pages of rows, encoded one after the other at the client's pace.

use std::future::ready;

use axum::body::{Body, Bytes};
use futures_util::StreamExt;
use futures_util::stream::{once, try_unfold};
use kulti_schemas::{PositionedEvent, SessionId};
use tokio::sync::OwnedSemaphorePermit;

use super::{Encoder, ExportError, Range};
use crate::problem::{Code, Problem};
use crate::state::AppState;
use crate::store::{answered, events_page};

const PAGE_ROWS: i64 = 1_000;
const PAGE_BYTES: usize = 1 << 20;

struct Export {
    state: AppState,
    session: SessionId,
    /// The last position that was encoded.
    after: i64,
    last: i64,
    encoder: Box<dyn Encoder>,
    begun: bool,
    _permit: OwnedSemaphorePermit,
}

/// The events of the range, encoded. Waits for the first part, so that what goes wrong at once is told as a problem.
pub(super) async fn body(
    state: AppState,
    session: SessionId,
    range: Range,
    encoder: Box<dyn Encoder>,
    permit: OwnedSemaphorePermit,
) -> Result<Body, Problem> {
    let export = Export {
        state,
        session,
        after: encoder.first_needed().unwrap_or(range.first) - 1,
        last: range.last,
        encoder,
        begun: false,
        _permit: permit,
    };
    let (first, rest) = export.next().await.map_err(|error| match error {
        ExportError::Problem(problem) => problem,
        ExportError::Changed => Problem::new(Code::Busy, error.to_string()).retry_after(1),
        ExportError::Encoder => Problem::new(Code::Internal, error.to_string()),
    })?;
    let rest = try_unfold(rest, async |export| match export {
        None => Ok(None),
        Some(export) => {
            let session = export.session.clone();
            export.next().await.map(Some).inspect_err(|error| {
                tracing::warn!(session = session.as_str(), %error, "an export was cut off");
            })
        }
    });
    Ok(Body::from_stream(once(ready(Ok(first))).chain(rest)))
}

impl Export {
    /// The next part of the file; nothing remains after its last.
    async fn next(mut self) -> Result<(Bytes, Option<Self>), ExportError> {
        loop {
            let page = self.page().await?;
            // Encoding a page may take longer than others should wait for a thread.
            let encoding = tokio::task::spawn_blocking(move || {
                let mut out = Vec::new();
                self.encode(&page, &mut out).map(|()| (self, out))
            });
            let (export, out) = encoding.await.map_err(|_| ExportError::Encoder)??;
            let is_finished = export.after >= export.last;
            if is_finished {
                return Ok((out.into(), None));
            }
            if !out.is_empty() {
                return Ok((out.into(), Some(export)));
            }
            self = export;
        }
    }

    async fn page(&self) -> Result<Vec<PositionedEvent>, ExportError> {
        if self.after >= self.last {
            return Ok(Vec::new());
        }
        if self.state.live.is_erased(&self.session) {
            return Err(ExportError::Changed);
        }
        let rows = PAGE_ROWS.min(self.last - self.after);
        let page = answered(events_page(
            &self.state.pool,
            &self.session,
            self.after,
            rows,
            PAGE_BYTES,
        ))
        .await
        .map_err(ExportError::Problem)?;
        // Positions have no holes: what is not there any more was erased.
        let expected = self.after + 1..;
        let is_contiguous = page
            .iter()
            .map(|event| event.position)
            .eq(expected.take(page.len()));
        if page.is_empty() || !is_contiguous {
            return Err(ExportError::Changed);
        }
        Ok(page)
    }

    fn encode(&mut self, page: &[PositionedEvent], out: &mut Vec<u8>) -> Result<(), ExportError> {
        if !self.begun {
            self.encoder.begin(out)?;
            self.begun = true;
        }
        for event in page {
            self.encoder.event(event, out)?;
            self.after = event.position;
        }
        if self.after >= self.last {
            self.encoder.finish(out)?;
        }
        Ok(())
    }
}
