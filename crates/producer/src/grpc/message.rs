//! Frames of gRPC (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>): a byte that says
//! whether the message is compressed, its length in four bytes, and the message.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use weir_wire::compression::Encoding;

use crate::admission::Admission;
use crate::body::{Received, next_data, resume};
use crate::refusal::Refusal;

const HEAD: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    compression: Compression,
    length: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Plain,
    /// As the header `grpc-encoding` says.
    Encoded,
}

/// Reads the one message of a unary request, and the end of the request.
///
/// A request that ends early, or goes on after its message, is refused: nothing of it was looked at.
pub(super) async fn read_message(
    admission: &Admission,
    mut body: Body,
    encoding: Encoding,
) -> Result<Received, Refusal> {
    let mut reservation = admission.reserve_request()?;
    let (head, rest) = read_head(&mut body).await?;
    let limit = admission.settings.max_message.bytes();
    let size = u64::from(head.length);
    if size > limit {
        return Err(Refusal::TooLarge { size, limit });
    }
    let held = reservation.bytes();
    reservation.grow_to(held + size)?;
    let bytes = read_rest(&mut body, rest, head.length as usize).await?;
    let received = Received { bytes, reservation };
    match (head.compression, encoding) {
        (Compression::Plain, _) => Ok(received),
        (Compression::Encoded, Encoding::Identity) => Err(Refusal::Framing),
        (Compression::Encoded, encoding) => admission.decompress(encoding, received).await,
    }
}

/// As [`read_message`], of a body that comes in these pieces. For the fuzz target.
pub(crate) async fn message_in(admission: &Admission, pieces: &[Bytes], encoding: Encoding) -> Option<Bytes> {
    let pieces = pieces.iter().rev().cloned();
    let body = pieces.fold(Body::empty(), |rest, piece| resume(piece, rest));
    read_message(admission, body, encoding).await.ok().map(|received| received.bytes)
}

/// The head, and what came with it.
async fn read_head(body: &mut Body) -> Result<(Head, Bytes), Refusal> {
    let mut start = next_data(body).await?.ok_or(Refusal::Framing)?;
    if start.len() < HEAD {
        let mut gathered = BytesMut::from(start);
        while gathered.len() < HEAD {
            gathered.put(next_data(body).await?.ok_or(Refusal::Framing)?);
        }
        start = gathered.freeze();
    }
    let compression = match start.get_u8() {
        0 => Compression::Plain,
        1 => Compression::Encoded,
        _ => return Err(Refusal::Framing),
    };
    Ok((Head { compression, length: start.get_u32() }, start))
}

/// `start` and what follows it up to the end of the body, which must be `length` bytes.
async fn read_rest(body: &mut Body, start: Bytes, length: usize) -> Result<Bytes, Refusal> {
    let message = match start.len() == length {
        // The message came in one piece: it is not copied.
        true => start,
        false => gather(body, &start, length).await?,
    };
    match next_non_empty(body).await? {
        None => Ok(message),
        Some(_) => Err(Refusal::Framing),
    }
}

async fn gather(body: &mut Body, start: &Bytes, length: usize) -> Result<Bytes, Refusal> {
    if start.len() > length {
        return Err(Refusal::Framing);
    }
    let mut message = BytesMut::with_capacity(length);
    message.extend_from_slice(start);
    while message.len() < length {
        let data = next_data(body).await?.ok_or(Refusal::Framing)?;
        if data.len() > length - message.len() {
            return Err(Refusal::Framing);
        }
        message.extend_from_slice(&data);
    }
    Ok(message.freeze())
}

async fn next_non_empty(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    loop {
        match next_data(body).await? {
            Some(data) if data.is_empty() => {}
            data => return Ok(data),
        }
    }
}

/// The body of a success: one message, then the status in the trailers.
#[derive(Debug)]
pub(super) struct Answer {
    frame: Option<Bytes>,
    trailers: Trailers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trailers {
    ToSend,
    Sent,
}

impl Answer {
    pub(super) fn new(frame: Bytes) -> Self {
        Self { frame: Some(frame), trailers: Trailers::ToSend }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(frame) = self.frame.take() {
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        if self.trailers == Trailers::Sent {
            return Poll::Ready(None);
        }
        self.trailers = Trailers::Sent;
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.trailers == Trailers::Sent
    }
}
