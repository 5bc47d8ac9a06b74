//! What weir's own door answers.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use tonic::Code;
use weir_foundation::failure::Failure;

use crate::admission::How;
use crate::codes;
use crate::refusal::Refusal;
use crate::section::Compat;

/// The answer to a body: what of it is durable, and what can not be stored.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Report {
    /// Events that are durable.
    pub(super) accepted: u64,
    /// Events that can not be stored.
    pub(super) rejected: u64,
    /// The first of the rejected.
    pub(super) rejections: Vec<Rejection>,
    /// Full name of the stream.
    pub(super) stream: String,
    /// The id that the client gave the batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) batch: Option<String>,
    /// Whether the batch was known by its id and had been stored before.
    pub(super) duplicate: bool,
}

/// An event that can not be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Rejection {
    /// Which item of the body, from 0.
    pub(super) index: u64,
    /// Which line of the body, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u64>,
    pub(super) reason: String,
}

#[derive(Debug, Serialize)]
struct ErrorDetail<'a> {
    code: &'a str,
    message: &'a str,
}

/// A failure; what was durable before it is told as well.
#[derive(Debug, Serialize)]
struct FailureBody<'a> {
    error: ErrorDetail<'a>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    report: Option<&'a Report>,
}

impl Report {
    pub(super) fn note(&mut self, how: How) {
        self.duplicate |= how == How::Known;
    }

    /// 200 if anything of the body was stored, or if there was nothing in it to store.
    pub(super) fn into_response(self) -> Response {
        if self.accepted > 0 || self.rejected == 0 {
            return json(StatusCode::OK, &self);
        }
        let error = ErrorDetail { code: codes::NOTHING_STORED, message: "every event was rejected" };
        json(StatusCode::BAD_REQUEST, &FailureBody { error, report: Some(&self) })
    }
}

/// The answer to a body of which `report` was durable before it was refused.
pub(super) fn refuse(refusal: &Refusal, report: Option<&Report>) -> Response {
    let message = refusal.message();
    let error = ErrorDetail { code: refusal.code(), message: &message };
    let mut response = json(http_status(refusal), &FailureBody { error, report });
    set_retry_after(response.headers_mut(), refusal);
    response
}

pub(super) async fn method_not_allowed() -> Response {
    let error = ErrorDetail { code: codes::METHOD_NOT_ALLOWED, message: "events are sent with POST" };
    json(StatusCode::METHOD_NOT_ALLOWED, &FailureBody { error, report: None })
}

/// In whole seconds, rounded up: earlier would be in vain.
pub(super) fn set_retry_after(headers: &mut HeaderMap, refusal: &Refusal) {
    if let Some(delay) = refusal.retry_after() {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
}

/// As HTTP says it, where that is more exact than what the gRPC code stands for.
fn http_status(refusal: &Refusal) -> StatusCode {
    match refusal.code() {
        codes::TOO_LARGE => return StatusCode::PAYLOAD_TOO_LARGE,
        codes::BATCH_ID_REUSED => return StatusCode::CONFLICT,
        codes::UNKNOWN_ENCODING => return StatusCode::UNSUPPORTED_MEDIA_TYPE,
        codes::STALLED_BODY => return StatusCode::REQUEST_TIMEOUT,
        codes::BROKEN_BODY => return StatusCode::BAD_REQUEST,
        _ => {}
    }
    let status = weir_wire::rest::http_status(Code::into(refusal.grpc_code(Compat::Weir)));
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("names are strings and numbers are integers");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
