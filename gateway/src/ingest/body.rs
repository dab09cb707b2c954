//! Reads a body: decompressed, bounded, in time, and counted against what all bodies together may hold.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use futures_util::TryStreamExt;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::io::StreamReader;

use crate::problem::{Code, Problem};
use crate::state::AppState;

/// After decompression.
pub(crate) const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// For the whole body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// Memory is asked for in pieces of this size.
const PIECE_BYTES: usize = 64 * 1024;
/// 8 MiB, as RFC 9659 has it for HTTP: a frame may not make the decoder allocate more for its window.
const ZSTD_WINDOW_LOG: u32 = 23;
/// So much of a body that is too large is read and thrown away, because many clients look for the answer only
/// when they have sent everything.
const DRAIN_BYTES: usize = 64 * 1024 * 1024;

/// What comes out of a body once its `Content-Encoding` is undone.
pub(crate) type Decoded = Pin<Box<dyn AsyncRead + Send>>;

/// What all bodies together may hold. Taken piece by piece as they arrive, never waited for.
pub(crate) struct IngestMemory {
    pieces: Arc<Semaphore>,
}

impl IngestMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        let pieces = (bytes / PIECE_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        IngestMemory {
            pieces: Arc::new(Semaphore::new(pieces)),
        }
    }

    fn take(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.pieces).try_acquire_owned().map_err(|_| {
            Problem::new(Code::Busy, "too many requests are being read; send it again").retry_after(1)
        })
    }
}

/// A body, and the memory that it holds until it is dropped.
#[derive(Debug)]
pub(crate) struct HeldBody {
    pub(crate) bytes: Vec<u8>,
    memory: OwnedSemaphorePermit,
}

impl HeldBody {
    /// Nothing yet.
    ///
    /// # Errors
    /// If all bodies together hold as much as they may.
    pub(crate) fn new(memory: &IngestMemory) -> Result<Self, Problem> {
        Ok(HeldBody {
            bytes: Vec::new(),
            memory: memory.take()?,
        })
    }

    /// Appends what came.
    ///
    /// # Errors
    /// If all bodies together hold as much as they may.
    pub(crate) fn extend(&mut self, memory: &IngestMemory, bytes: &[u8]) -> Result<(), Problem> {
        while (self.bytes.len() + bytes.len()) / PIECE_BYTES >= self.memory.num_permits() {
            self.memory.merge(memory.take()?);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// Reads the body of a request as its `Content-Encoding` says.
pub(crate) async fn read_body(
    state: &AppState,
    headers: &HeaderMap,
    body: Body,
) -> Result<HeldBody, Problem> {
    let mut reader = decoded(headers, body)?;
    let is_announced_too_large = announced_bytes(headers) > MAX_BODY_BYTES as u64;
    let reading = async {
        if is_announced_too_large {
            return Err(drain(&mut reader).await);
        }
        read_bounded(&state.ingest, &mut reader).await
    };
    match tokio::time::timeout(BODY_TIMEOUT, reading).await {
        Ok(Ok(body)) => {
            state.metrics.record_ingest_bytes(body.bytes.len());
            Ok(body)
        }
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(Problem::new(
            Code::RequestTimeout,
            format!(
                "the body did not arrive within {} seconds",
                BODY_TIMEOUT.as_secs()
            ),
        )),
    }
}

/// What the client says that the body has; 0 if it does not.
pub(crate) fn announced_bytes(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH);
    length
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or_default()
}

/// Undoes the body's `Content-Encoding`.
///
/// # Errors
/// If it is neither gzip nor zstd.
pub(crate) fn decoded(headers: &HeaderMap, body: Body) -> Result<Decoded, Problem> {
    let stream = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let encoding = headers
        .get(CONTENT_ENCODING)
        .map_or(Ok("identity"), |value| value.to_str());
    Ok(match encoding.unwrap_or_default().trim() {
        "identity" => Box::pin(stream),
        "gzip" | "x-gzip" => {
            let mut decoder = GzipDecoder::new(stream);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        "zstd" => {
            let mut decoder =
                ZstdDecoder::with_params(stream, &[DParameter::window_log_max(ZSTD_WINDOW_LOG)]);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        _ => {
            let detail = "`Content-Encoding` may be gzip or zstd";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
    })
}

async fn read_bounded(
    memory: &IngestMemory,
    reader: &mut (impl AsyncRead + Unpin),
) -> Result<HeldBody, Problem> {
    let mut held = memory.take()?;
    let mut bytes = Vec::new();
    loop {
        let mut piece = (&mut *reader).take(PIECE_BYTES as u64);
        let read = piece
            .read_to_end(&mut bytes)
            .await
            .map_err(|error| Problem::new(Code::InvalidBody, format!("the body cannot be read: {error}")))?;
        if read == 0 {
            return Ok(HeldBody { bytes, memory: held });
        }
        if bytes.len() > MAX_BODY_BYTES {
            drop(bytes);
            return Err(drain(reader).await);
        }
        held.merge(memory.take()?);
    }
}

/// Reads the rest of a body that is too large, within limits, and says so.
async fn drain(reader: &mut (impl AsyncRead + Unpin)) -> Problem {
    read_away(reader, DRAIN_BYTES as u64).await;
    let detail = format!("a body may hold at most {MAX_BODY_BYTES} bytes after decompression");
    Problem::new(Code::BodyTooLarge, detail)
}

/// Reads at most so many bytes for nobody: a client that is still sending does not look for an answer.
pub(crate) async fn read_away(reader: &mut (impl AsyncRead + Unpin), most: u64) {
    if let Err(error) = tokio::io::copy(&mut reader.take(most), &mut tokio::io::sink()).await {
        tracing::debug!(%error, "the rest of a body that is too large could not be read");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_of_the_limit_passes_and_one_byte_more_does_not() {
        let memory = IngestMemory::new(2 * MAX_BODY_BYTES);
        let body = vec![b'x'; MAX_BODY_BYTES];
        let read = read_bounded(&memory, &mut &body[..])
            .await
            .expect("within the limit");
        assert_eq!(read.bytes.len(), MAX_BODY_BYTES);
        drop(read);
        let body = vec![b'x'; MAX_BODY_BYTES + 1];
        let problem = read_bounded(&memory, &mut &body[..])
            .await
            .expect_err("above the limit");
        assert_eq!(problem.code, Code::BodyTooLarge);
    }

    #[tokio::test]
    async fn bodies_together_hold_no_more_than_they_may() {
        let memory = IngestMemory::new(4 * PIECE_BYTES);
        let body = vec![b'x'; 3 * PIECE_BYTES - 1];
        let first = read_bounded(&memory, &mut &body[..]).await.expect("fits");
        let problem = read_bounded(&memory, &mut &body[..])
            .await
            .expect_err("does not fit beside it");
        assert_eq!(problem.code, Code::Busy);
        drop(first);
        read_bounded(&memory, &mut &body[..]).await.expect("fits again");
    }

    #[tokio::test]
    async fn a_zip_bomb_is_refused_after_what_a_body_may_hold() {
        let memory = IngestMemory::new(2 * MAX_BODY_BYTES);
        let mut bomb = tokio::io::repeat(0).take(1 << 40);
        let problem = read_bounded(&memory, &mut bomb).await.expect_err("endless");
        assert_eq!(problem.code, Code::BodyTooLarge);
    }
}
