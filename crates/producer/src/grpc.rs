//! The gRPC door: `producer.Producer`, health and reflection.
//!
//! The two methods of `producer.Producer` are served on the bytes of the request: the message is taken out
//! of its frame as it is, checked by one pass and given to the journal, so no protobuf object is ever built
//! and the memory for a message is reserved when its frame header has come, before the message is read.
//! That is why this is a service of its own and not a codec for tonic's server, which buffers a message
//! before a codec sees it.
//!
//! Answers are not compressed, which the protocol leaves to the server: they are the name of a stream.

mod message;
mod status;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use weir_foundation::failure::Failure;
use weir_foundation::metrics::Counter;
use weir_foundation::supervise::{DrainPhase, Policy, Spawner};
use weir_wire::compression::Encoding;

pub(crate) use self::message::message_in;
use self::message::{Answer, read_message};
use self::status::status;
use crate::admission::{Admission, Admitted};
use crate::body::batch_id;
use crate::metrics::Door;
use crate::refusal::Refusal;

const SERVICE: &str = "producer.Producer";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Produce,
    ProduceBatch,
}

#[derive(Debug, Clone)]
struct GrpcDoor {
    admission: Arc<Admission>,
    batches: Counter,
}

/// What the health service says.
#[derive(Clone)]
pub(crate) struct Serving {
    service: HealthServer<HealthService>,
}

impl Serving {
    /// Healthy until the process drains.
    pub(crate) async fn start(spawner: &Spawner) -> Self {
        let mut health = HealthReporter::new();
        health.set_service_status(SERVICE, ServingStatus::Serving).await;
        let service = HealthServer::new(HealthService::from_health_reporter(health.clone()));
        spawner.spawn("producer.health", Policy::essential(DrainPhase::StopIntake), |drain| async move {
            drain.draining().await;
            for service in ["", SERVICE] {
                health.set_service_status(service, ServingStatus::NotServing).await;
                // Ends the streams of those who watch it, which would hold their connections open.
                health.clear_service_status(service).await;
            }
            Ok::<(), Infallible>(())
        });
        Self { service }
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}

/// Everything that the gRPC listener serves.
pub(crate) fn router(admission: &Arc<Admission>, serving: &Serving) -> Router {
    let others = Routes::new(serving.service.clone())
        .add_service(reflection_v1())
        .add_service(reflection_v1alpha())
        .prepare()
        .into_axum_router();
    let door = GrpcDoor { admission: Arc::clone(admission), batches: admission.metrics.batches(Door::Grpc) };
    let produce = |State(door): State<GrpcDoor>, request| door.answer(Method::Produce, request);
    let produce_batch = |State(door): State<GrpcDoor>, request| door.answer(Method::ProduceBatch, request);
    Router::new()
        .route("/producer.Producer/Produce", post(produce))
        .route("/producer.Producer/ProduceBatch", post(produce_batch))
        .with_state(door)
        .merge(others)
}

macro_rules! reflection {
    ($name:ident, $build:ident, $version:ident) => {
        fn $name() -> tonic_reflection::server::$version::ServerReflectionServer<
            impl tonic_reflection::server::$version::ServerReflection,
        > {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(weir_wire::proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .$build()
                .expect("the descriptors are generated and tested")
        }
    };
}
reflection!(reflection_v1, build_v1, v1);
reflection!(reflection_v1alpha, build_v1alpha, v1alpha);

impl GrpcDoor {
    async fn answer(self, method: Method, request: Request) -> Response {
        if !is_grpc(request.headers()) {
            return http::StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
        }
        match self.produce(method, request).await {
            Ok(admitted) => {
                self.batches.inc();
                answer(admitted.stream.grpc_answer.clone())
            }
            Err(refusal) => {
                self.admission.metrics.refused(Door::Grpc, refusal.code());
                let mut response = status(&refusal, self.admission.settings.compat).into_http();
                if matches!(refusal, Refusal::Encoding(_)) {
                    let known = HeaderValue::from_static("identity,gzip,zstd");
                    response.headers_mut().insert("grpc-accept-encoding", known);
                }
                response
            }
        }
    }

    async fn produce(&self, method: Method, request: Request) -> Result<Admitted, Refusal> {
        let (head, body) = request.into_parts();
        let id = batch_id(&head.headers)?;
        let encoding = encoding(&head.headers)?;
        let received = read_message(&self.admission, body, encoding).await?;
        match method {
            Method::Produce => self.admission.take_timber(received, id).await,
            Method::ProduceBatch => self.admission.take_collection(received, id).await,
        }
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|content_type| content_type.starts_with(b"application/grpc"))
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    match headers.get("grpc-encoding") {
        Some(encoding) => Ok(encoding.to_str().unwrap_or("?").parse()?),
        None => Ok(Encoding::Identity),
    }
}

fn answer(frame: Bytes) -> Response {
    let mut response = Response::new(axum::body::Body::new(Answer::new(frame)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
