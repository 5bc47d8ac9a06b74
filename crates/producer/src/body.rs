//! Bodies of requests: read within the memory budget, and decompressed within it.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use weir_foundation::http::Stalled;
use weir_wire::compression::{self, DecompressError, Encoding};

use crate::admission::Admission;
use crate::budget::Reservation;
use crate::refusal::Refusal;

/// A body, or a message in it, with the part of the budget that it occupies.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    pub(crate) reservation: Reservation,
}

/// What a request costs that is not its body: headers, futures, answer. So the number of requests in hand is
/// bounded as well.
const REQUEST: u64 = 4 << 10;

/// Bodies that need more work than this are worked on off the runtime's threads.
const INLINE: usize = 1 << 20;

/// What is first reserved for a body of unknown length; it grows by doubling.
const FIRST_RESERVATION: u64 = 64 << 10;

/// The next data of a body; `None` at its end.
pub(crate) async fn next_data(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| refusal_of(&error))?;
        // Trailers of a request mean nothing to us.
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn refusal_of(error: &axum::Error) -> Refusal {
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(stalled) = error.downcast_ref::<Stalled>() {
            return Refusal::Stalled(*stalled);
        }
        source = error.source();
    }
    Refusal::Broken
}

/// A body of which `start` was read.
pub(crate) fn resume(start: Bytes, rest: Body) -> Body {
    Body::new(Resumed { start: Some(start), rest })
}

struct Resumed {
    start: Option<Bytes>,
    rest: Body,
}

impl http_body::Body for Resumed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.start.take() {
            Some(start) => Poll::Ready(Some(Ok(Frame::data(start)))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.start.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let start = self.start.as_ref().map_or(0, |start| start.len() as u64);
        let mut hint = self.rest.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + start);
        }
        hint.set_lower(hint.lower() + start);
        hint
    }
}

impl Admission {
    /// The budget's share of a request before anything of its body is read.
    pub(crate) fn reserve_request(&self) -> Result<Reservation, Refusal> {
        Ok(self.budget.reserve(REQUEST)?)
    }

    /// What the conversion of a JSON body takes until it is done, which may be many times the body.
    pub(crate) fn reserve_conversion(&self, memory: u64) -> Result<Reservation, Refusal> {
        let limit = self.conversions.limit();
        if memory > limit {
            return Err(Refusal::TooComplex { memory, limit });
        }
        Ok(self.conversions.reserve(memory)?)
    }

    /// Reads a whole body. What it declares to be long is reserved before any of it is read.
    pub(crate) async fn read_whole(&self, mut body: Body) -> Result<Received, Refusal> {
        let limit = self.settings.max_message.bytes();
        let hint = body.size_hint();
        if hint.lower() > limit {
            return Err(Refusal::TooLarge { size: hint.lower(), limit });
        }
        let expected = hint.exact().unwrap_or(FIRST_RESERVATION.min(limit));
        let mut reservation = self.reserve_request()?;
        reservation.grow_to(REQUEST + expected)?;
        let Some(first) = next_data(&mut body).await? else {
            return Ok(Received { bytes: Bytes::new(), reservation });
        };
        if body.is_end_stream() && first.len() as u64 <= limit {
            reservation.grow_to(REQUEST + first.len() as u64)?;
            return Ok(Received { bytes: first, reservation });
        }
        let mut bytes = BytesMut::with_capacity(usize::try_from(expected).unwrap_or(0));
        let mut next = Some(first);
        while let Some(data) = next {
            let size = (bytes.len() + data.len()) as u64;
            if size > limit {
                return Err(Refusal::TooLarge { size, limit });
            }
            if size + REQUEST > reservation.bytes() {
                reservation.grow_to(REQUEST + (size * 2).min(limit))?;
            }
            bytes.put(data);
            next = next_data(&mut body).await?;
        }
        Ok(Received { bytes: bytes.freeze(), reservation })
    }

    /// Decompresses a body. Since nobody knows what it will become, a multiple of its size is reserved and
    /// tried, then more; what is tried in vain is a small part of the work.
    pub(crate) async fn decompress(&self, encoding: Encoding, body: Received) -> Result<Received, Refusal> {
        self.decompress_to(encoding, body, self.settings.max_message.bytes()).await
    }

    /// As [`Admission::decompress`], for what becomes no larger than `limit`.
    pub(crate) async fn decompress_to(
        &self,
        encoding: Encoding,
        mut body: Received,
        limit: u64,
    ) -> Result<Received, Refusal> {
        if encoding == Encoding::Identity {
            return Ok(body);
        }
        const STEP: usize = 8;
        let compressed = body.bytes.len();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut cap = compressed.saturating_mul(STEP).max(64 << 10).min(limit);
        loop {
            body.reservation.grow_to(REQUEST + (compressed + cap) as u64)?;
            let bytes = body.bytes.clone();
            let outcome =
                self.work(compressed, move || compression::decompress(encoding, &bytes, cap)).await?;
            match outcome {
                Ok(bytes) => {
                    body.reservation.shrink_to(REQUEST + bytes.len() as u64);
                    return Ok(Received { bytes: bytes.into(), reservation: body.reservation });
                }
                Err(DecompressError::TooLarge { .. }) if cap < limit => {
                    cap = cap.saturating_mul(STEP).min(limit);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Does work on `size` bytes here, or elsewhere if it would hold up other requests.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        size: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        if size <= INLINE {
            return Ok(work());
        }
        self.spawner.blocking("producer.body", work).await.map_err(|error| {
            tracing::error!(%error, "could not work on a body");
            Refusal::Cut
        })
    }
}

/// How a body is compressed by its headers, or by its first bytes where they say nothing: some clients send
/// gzip without saying so, and no JSON or text starts like it.
pub(crate) fn encoding_of(headers: &HeaderMap, body: &[u8]) -> Result<Encoding, Refusal> {
    const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
    match headers.get(http::header::CONTENT_ENCODING) {
        Some(encoding) => Ok(encoding.to_str().unwrap_or("?").parse()?),
        None if body.starts_with(&GZIP_MAGIC) => Ok(Encoding::Gzip),
        None => Ok(Encoding::Identity),
    }
}

/// The header, also of gRPC metadata, by which a client names its batch.
pub(crate) const BATCH_ID: &str = "weir-batch-id";

const BATCH_ID_LIMIT: usize = 200;

/// The name that the client gave its batch.
pub(crate) fn batch_id(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(id) = headers.get(BATCH_ID) else { return Ok(None) };
    match id.to_str() {
        Ok(id) if (1..=BATCH_ID_LIMIT).contains(&id.len()) => Ok(Some(id)),
        _ => Err(Refusal::BatchId { limit: BATCH_ID_LIMIT }),
    }
}
