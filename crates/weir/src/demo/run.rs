//! Sends the shop's events through the gRPC door at a steady rate.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as ProtobufValue};
use serde_json::Value;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use weir_foundation::clock::Clock;
use weir_model::Timestamp;
use weir_wire::proto::producer::producer_client::ProducerClient;
use weir_wire::proto::producer::{Timber, TimberCollection, TimberContext};

use super::shop::{Content, Shop};

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

/// Sends until `stop` or the bounds end it; a batch that is under way is finished first.
pub(crate) async fn run(plan: Plan, clock: &dyn Clock, stop: impl Future<Output = ()>) -> Result<Outcome> {
    let mut door = Door::connect(&plan).await?;
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
        while told < due {
            let count = (due - told).min(BATCH);
            let now = Timestamp::from(clock.now());
            let events = (0..count).map(|_| timber(shop.event(), now)).collect();
            outcome.waits += door.send(events, clock).await?;
            outcome.acknowledged += count;
            told += count;
        }
        if plan.bounds == Bounds::After(elapsed) {
            return Ok(outcome);
        }
        tokio::select! {
            () = &mut stop => return Ok(outcome),
            () = clock.sleep(TICK) => {}
        }
    }
}

struct Door {
    client: ProducerClient<Channel>,
    context: TimberContext,
    /// Makes batch ids that no other demonstration has.
    run: u64,
    batch: u64,
}

impl Door {
    async fn connect(plan: &Plan) -> Result<Self> {
        let endpoint = Endpoint::from_shared(plan.door.clone()).context("read the address of the door")?;
        let channel = endpoint
            .connect_timeout(Duration::from_secs(5))
            .connect()
            .await
            .with_context(|| format!("connect to the gRPC door at {}", plan.door))?;
        let context = TimberContext {
            kafka_topic: plan.app.clone(),
            es_index_prefix: plan.app.clone(),
            ..TimberContext::default()
        };
        Ok(Self { client: ProducerClient::new(channel), context, run: rand::random(), batch: 0 })
    }

    /// Sends one batch until it is acknowledged. Answers how often the door asked to wait.
    async fn send(&mut self, items: Vec<Timber>, clock: &dyn Clock) -> Result<u64> {
        let collection = TimberCollection { context: Some(self.context.clone()), items };
        self.batch += 1;
        let id = format!("demo-{:016x}-{}", self.run, self.batch);
        let id = MetadataValue::try_from(id).context("name a batch")?;
        let mut waits = 0;
        loop {
            let mut request = Request::new(collection.clone());
            request.metadata_mut().insert("weir-batch-id", id.clone());
            match self.client.produce_batch(request).await {
                Ok(_) => return Ok(waits),
                Err(status) if may_succeed_later(&status) => {
                    waits += 1;
                    clock.sleep(PAUSE).await;
                }
                Err(status) => bail!("the door refused a batch: {}: {}", status.code(), status.message()),
            }
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
