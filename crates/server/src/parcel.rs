//! Answers that may be large: made away from the runtime, and holding their place in the queue until the
//! caller has taken them, so that as many of them are in memory as may run, however slowly they are read.
//!
//! Whoever takes nothing at all is cut off by the listener; whoever takes a little now and then, after
//! [`TAKING`].

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use weir_foundation::failure::chain;

use crate::admission::Place;
use crate::codes;
use crate::failure::Failure;
use crate::server::Shared;

/// How long an answer may take to be sent.
const TAKING: Duration = Duration::from_secs(300);

/// Bytes that are handed to the connection at a time, and freed when they are sent.
const PIECE: usize = 64 << 10;

/// The caller did not take its answer in [`TAKING`].
#[derive(Debug, thiserror::Error)]
#[error("the answer was not taken within {TAKING:?}")]
struct NotTaken;

/// Lets `make` write the body of an answer and say its headers. Work that has begun is finished, and keeps its
/// place, also if the caller leaves.
pub(crate) async fn answer(
    shared: &Shared,
    place: Place,
    make: impl FnOnce(&mut Pieces) -> io::Result<HeaderMap> + Send + 'static,
) -> Result<Response, Failure> {
    let work = move || {
        let mut pieces = Pieces::default();
        let headers = make(&mut pieces)?;
        Ok::<_, io::Error>((headers, pieces, place))
    };
    let made = shared.parts.spawner.blocking("server.answer", work).await?;
    let (headers, pieces, place) = made.map_err(|error| unwritable(&error))?;
    if pieces.full.is_empty() {
        return Ok((headers, Body::from(pieces.last)).into_response());
    }
    let clock = Arc::clone(&shared.parts.clock);
    let deadline = clock.monotonic() + TAKING;
    let pieces = pieces.full.into_iter().chain([pieces.last.into()]).map(move |piece| {
        let _held = &place;
        if clock.monotonic() > deadline { Err(NotTaken) } else { Ok(piece) }
    });
    Ok((headers, Body::from_stream(stream::iter(pieces))).into_response())
}

/// What is written, in pieces that are freed one by one.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    full: Vec<Bytes>,
    last: Vec<u8>,
}

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(PIECE - self.last.len());
        self.last.extend_from_slice(&bytes[..fits]);
        if self.last.len() == PIECE {
            self.full.push(mem::replace(&mut self.last, Vec::with_capacity(PIECE)).into());
        }
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The headers of an answer that needs no other.
pub(crate) fn content(content_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))])
}

fn unwritable(error: &(dyn std::error::Error + 'static)) -> Failure {
    tracing::error!(error = %chain(error), "an answer could not be written");
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, codes::STORE_FAILED, "the answer could not be written")
}
