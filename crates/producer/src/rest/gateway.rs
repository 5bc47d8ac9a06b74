//! `/produce` and `/produce_batch`, as barito-flow's REST gateway answered.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tonic::Code;
use weir_foundation::failure::Failure;
use weir_foundation::metrics::Counter;
use weir_wire::rest::{self, RestError};

use super::answer::set_retry_after;
use super::method_not_allowed;
use crate::admission::{Admission, Admitted};
use crate::body::{Received, batch_id, encoding_of};
use crate::metrics::Door;
use crate::refusal::Refusal;

#[derive(Debug, Clone)]
pub(super) struct RestDoor {
    admission: Arc<Admission>,
    batches: Counter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Timber,
    Collection,
}

pub(super) async fn produce(State(door): State<RestDoor>, request: Request) -> Response {
    door.answer(Kind::Timber, request).await
}

pub(super) async fn produce_batch(State(door): State<RestDoor>, request: Request) -> Response {
    door.answer(Kind::Collection, request).await
}

impl RestDoor {
    pub(super) fn new(admission: &Arc<Admission>) -> Self {
        Self { admission: Arc::clone(admission), batches: admission.metrics.batches(Door::Rest) }
    }

    async fn answer(self, kind: Kind, request: Request) -> Response {
        if asks_for_other_method(request.headers()) {
            return method_not_allowed().await;
        }
        match self.produce(kind, request).await {
            Ok(admitted) => {
                self.batches.inc();
                json(StatusCode::OK, rest::result_body(admitted.stream.name.as_str()))
            }
            Err(refusal) => {
                self.admission.metrics.refused(Door::Rest, refusal.code());
                self.refuse(&refusal)
            }
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let code = Code::into(refusal.grpc_code(self.admission.settings.compat));
        let status =
            StatusCode::from_u16(rest::http_status(code)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json(status, rest::error_body(code, &refusal.message()));
        set_retry_after(response.headers_mut(), refusal);
        response
    }

    async fn produce(&self, kind: Kind, request: Request) -> Result<Admitted, Refusal> {
        let (head, body) = request.into_parts();
        let id = batch_id(&head.headers)?;
        let received = self.admission.read_whole(body).await?;
        let encoding = encoding_of(&head.headers, &received.bytes)?;
        let Received { bytes, mut reservation } = self.admission.decompress(encoding, received).await?;
        let working = self.admission.reserve_conversion(rest::working_memory(&bytes))?;
        let converted = self.admission.work(bytes.len(), move || kind.convert(&bytes)).await??;
        drop(working);
        let (size, limit) = (converted.len() as u64, self.admission.budget.limit());
        if size > limit {
            return Err(Refusal::TooLarge { size, limit });
        }
        reservation.grow_to(size)?;
        reservation.shrink_to(size);
        let converted = Received { bytes: converted, reservation };
        match kind {
            Kind::Timber => self.admission.take_timber(converted, id).await,
            Kind::Collection => self.admission.take_collection(converted, id).await,
        }
    }
}

impl Kind {
    fn convert(self, body: &[u8]) -> Result<Bytes, RestError> {
        match self {
            Self::Timber => rest::timber(body),
            Self::Collection => rest::timber_collection(body),
        }
        .map(Bytes::from)
    }
}

/// Forms may say that they stand for another method than POST.
fn asks_for_other_method(headers: &HeaderMap) -> bool {
    let is_form =
        headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "application/x-www-form-urlencoded");
    let asked = headers.get("x-http-method-override").map(HeaderValue::as_bytes).unwrap_or_default();
    is_form && !asked.is_empty() && !asked.eq_ignore_ascii_case(b"POST")
}

fn json(status: StatusCode, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (HeaderName::from_static("grpc-metadata-content-type"), HeaderValue::from_static("application/grpc")),
    ];
    (status, headers, body).into_response()
}
