//! Sends the shop's events through the gRPC door at a steady rate.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, Error, Result};
use http::HeaderValue;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as ProtobufValue};
use serde_json::Value;
use tonic::metadata::{AsciiMetadataValue, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use weir_foundation::clock::Clock;
use weir_model::Timestamp;
use weir_wire::proto::producer::producer_client::ProducerClient;
use weir_wire::proto::producer::{Timber, TimberCollection, TimberContext};

use super::shop::{Content, Shop};
use crate::client::{Client, how_to_show_a_token};
use crate::console::Advised;

/// What to send.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// URL of the gRPC door.
    pub(crate) door: String,
    pub(crate) app: String,
    /// Events per second.
    pub(crate) rate: u32,
    pub(crate) seed: u64,
    pub(crate) bounds: Bounds,
}

/// When the demonstration ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bounds {
    Endless,
    After(Duration),
}

/// What was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Events that the door acknowledged.
    pub(crate) acknowledged: u64,
    /// How often the door asked to wait.
    pub(crate) waits: u64,
}

/// How often a batch is sent.
const TICK: Duration = Duration::from_millis(100);

/// Events of a batch at most, so that a stall is not made up for by one huge message.
const BATCH: u64 = 1_000;

/// How long to wait before a batch that the door could not take is sent again.
const PAUSE: Duration = Duration::from_millis(500);

/// Sends until `stop` or the bounds end it; a batch that the door is taking is finished first. The door asks nobody
/// who it is.
pub(crate) async fn run(plan: Plan, clock: &dyn Clock, stop: impl Future<Output = ()>) -> Result<Outcome> {
    let endpoint = Endpoint::from_shared(plan.door.clone()).context("read the address of the door")?;
    let channel = endpoint
        .connect_timeout(Duration::from_secs(5))
        .connect()
        .await
        .with_context(|| format!("connect to the gRPC door at {}", plan.door))?;
    go_on(Door::new(channel, None, &plan), plan, clock, stop).await
}

/// The same, with the connection and the token of a client.
pub(crate) async fn run_by(
    client: &Client,
    plan: Plan,
    clock: &dyn Clock,
    stop: impl Future<Output = ()>,
) -> Result<Outcome> {
    let url = plan.door.parse().context("read the address of the door")?;
    let channel = client.channel(&url).await;
    let (channel, token) = channel.with_context(|| format!("connect to the gRPC door at {}", plan.door))?;
    go_on(Door::new(channel, token.as_ref(), &plan), plan, clock, stop).await
}

async fn go_on(
    mut door: Door,
    plan: Plan,
    clock: &dyn Clock,
    stop: impl Future<Output = ()>,
) -> Result<Outcome> {
    let mut shop = Shop::new(plan.seed);
    let mut outcome = Outcome::default();
    let began = clock.monotonic();
    let mut stop = std::pin::pin!(stop);
    let mut told = 0;
    loop {
        let elapsed = clock.monotonic().saturating_duration_since(began);
        let elapsed = match plan.bounds {
            Bounds::After(end) => elapsed.min(end),
            Bounds::Endless => elapsed,
        };
        let due = (elapsed.as_secs_f64() * f64::from(plan.rate)) as u64;
        let count = (due - told).min(BATCH);
        if count > 0 {
            let now = Timestamp::from(clock.now());
            let events = (0..count).map(|_| timber(shop.event(), now)).collect();
            match door.send(events, &mut outcome.waits, clock, stop.as_mut()).await? {
                Sent::Acknowledged => outcome.acknowledged += count,
                Sent::Stopped => return Ok(outcome),
            }
            told += count;
        }
        let pause = match told < due {
            true => Duration::ZERO,
            false if plan.bounds == Bounds::After(elapsed) => return Ok(outcome),
            false => TICK,
        };
        tokio::select! {
            biased;
            () = &mut stop => return Ok(outcome),
            () = clock.sleep(pause) => {}
        }
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Acknowledged,
    /// The end came while the door could not take it.
    Stopped,
}

struct Door {
    client: ProducerClient<Channel>,
    token: Option<AsciiMetadataValue>,
    context: TimberContext,
    /// Makes batch ids that no other demonstration has.
    run: u64,
    batch: u64,
}

impl Door {
    fn new(channel: Channel, token: Option<&HeaderValue>, plan: &Plan) -> Self {
        let token = token.map(|token| {
            let mut token =
                AsciiMetadataValue::try_from(token.as_bytes()).expect("a header is one for gRPC, too");
            token.set_sensitive(true);
            token
        });
        let context = TimberContext {
            kafka_topic: plan.app.clone(),
            es_index_prefix: plan.app.clone(),
            ..TimberContext::default()
        };
        Self { client: ProducerClient::new(channel), token, context, run: rand::random(), batch: 0 }
    }

    /// Sends one batch until it is acknowledged, or `stop` comes while the door can not take it. Counts how
    /// often the door asked to wait.
    async fn send(
        &mut self,
        items: Vec<Timber>,
        waits: &mut u64,
        clock: &dyn Clock,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Sent> {
        let collection = TimberCollection { context: Some(self.context.clone()), items };
        self.batch += 1;
        let id = format!("demo-{:016x}-{}", self.run, self.batch);
        let id = MetadataValue::try_from(id).context("name a batch")?;
        loop {
            let mut request = Request::new(collection.clone());
            request.metadata_mut().insert("weir-batch-id", id.clone());
            if let Some(token) = &self.token {
                request.metadata_mut().insert("authorization", token.clone());
            }
            match self.client.produce_batch(request).await {
                Ok(_) => return Ok(Sent::Acknowledged),
                Err(status) if may_succeed_later(&status) => {
                    *waits += 1;
                    tokio::select! {
                        () = &mut stop => return Ok(Sent::Stopped),
                        () = clock.sleep(PAUSE) => {}
                    }
                }
                Err(status) => return Err(self.refusal(&status)),
            }
        }
    }

    fn refusal(&self, status: &Status) -> Error {
        let what = format!("the door refused a batch: {}: {}", status.code(), status.message());
        match (status.code(), &self.token) {
            (Code::Unauthenticated, None) => Advised { what, hint: how_to_show_a_token() }.into(),
            _ => Error::msg(what),
        }
    }
}

fn may_succeed_later(status: &Status) -> bool {
    matches!(status.code(), Code::ResourceExhausted | Code::Unavailable | Code::FailedPrecondition)
}

fn timber(content: Content, now: Timestamp) -> Timber {
    Timber { context: None, timestamp: now.to_string(), content: Some(structure(content)) }
}

fn structure(content: Content) -> Struct {
    Struct { fields: content.into_iter().map(|(name, value)| (name, protobuf(value))).collect() }
}

fn protobuf(value: Value) -> ProtobufValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => {
            Kind::ListValue(ListValue { values: values.into_iter().map(protobuf).collect() })
        }
        Value::Object(fields) => Kind::StructValue(structure(fields)),
    };
    ProtobufValue { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::SystemTime;

    use tokio::sync::oneshot;
    use weir_foundation::clock::ManualClock;

    use super::*;

    #[tokio::test]
    async fn the_end_does_not_wait_for_a_door_that_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = format!("http://{}", listener.local_addr().expect("it is bound"));
        drop(listener);
        let channel = Endpoint::from_shared(address).expect("is a URL").connect_lazy();
        let client = ProducerClient::new(channel);
        let mut door = Door { client, token: None, context: TimberContext::default(), run: 1, batch: 0 };
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = std::pin::pin!(async { stopped.await.expect("the test says so") });
        let mut waits = 0;
        let sent = door.send(Vec::new(), &mut waits, &clock, stopped);
        let ctrl_c = async {
            clock.sleepers(1).await;
            stop.send(()).expect("somebody listens");
        };
        let (sent, ()) = tokio::join!(sent, ctrl_c);
        assert_eq!((sent.expect("the door refuses nothing"), waits), (Sent::Stopped, 1));
    }
}
