//! Clients of the gRPC door that send numbered events, try again until they are answered, and remember what
//! was acknowledged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use weir_wire::proto::producer::producer_client::ProducerClient;
use weir_wire::proto::producer::{Timber, TimberCollection, TimberContext};

use crate::ledger::Ledger;

const MESSAGE: &str = "request served from the cache, nothing else to be said of it";

/// How a client sends.
#[derive(Debug, Clone)]
pub struct Client {
    pub name: String,
    pub app: String,
    pub batch: usize,
    pub pause: Duration,
}

impl Client {
    /// Sends batches until the ledger says stop; the one in hand is seen through.
    pub async fn run(self, address: SocketAddr, ledger: Arc<Ledger>) {
        let channel = Channel::from_shared(format!("http://{address}"))
            .expect("an address is a URI")
            .connect_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(20))
            .connect_lazy();
        let mut client = ProducerClient::new(channel);
        for number in 0u64.. {
            if ledger.stopped() {
                return;
            }
            self.send(&mut client, number, &ledger).await;
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn send(&self, client: &mut ProducerClient<Channel>, number: u64, ledger: &Ledger) {
        let batch = format!("{}-{number}", self.name);
        ledger.sent(&batch, self.batch);
        loop {
            let mut request = Request::new(collection(&self.app, &batch, self.batch, MESSAGE));
            request.metadata_mut().insert("weir-batch-id", batch.parse().expect("plain ASCII"));
            match client.produce_batch(request).await {
                Ok(_) => return ledger.acknowledge(&batch),
                Err(status) => {
                    assert!(may_pass(&status), "a good batch was refused for good: {status:?}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
}

/// Whether a refusal is one that trying again can cure.
fn may_pass(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Internal
    )
}

/// A batch of so many events, each with its id and this to read.
pub fn collection(app: &str, batch: &str, events: usize, message: &str) -> TimberCollection {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let number = |number: f64| Value { kind: Some(Kind::NumberValue(number)) };
    let items = (0..events).map(|index| {
        let fields = [
            ("id".to_owned(), text(&format!("{batch}-{index}"))),
            ("message".to_owned(), text(message)),
            ("status".to_owned(), number(if index % 7 == 0 { 500.0 } else { 200.0 })),
            ("level".to_owned(), text(if index % 7 == 0 { "error" } else { "info" })),
        ];
        let content = Struct { fields: fields.into_iter().collect() };
        Timber { context: None, timestamp: String::new(), content: Some(content) }
    });
    let context = TimberContext {
        kafka_topic: app.to_owned(),
        kafka_partition: 4,
        es_index_prefix: app.to_owned(),
        app_max_tps: 1_000_000,
        ..TimberContext::default()
    };
    TimberCollection { context: Some(context), items: items.collect() }
}
