//! Clients of the gRPC door that send numbered events, try again until they are answered, and remember what
//! was acknowledged.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use weir_wire::proto::producer::producer_client::ProducerClient;
use weir_wire::proto::producer::{Timber, TimberCollection, TimberContext};

/// What clients were told.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Ids of events that were acknowledged.
    acknowledged: Mutex<BTreeSet<String>>,
    /// Ids of events that were sent at least once.
    sent: Mutex<BTreeSet<String>>,
    pub stop: AtomicBool,
}

/// How a client sends.
#[derive(Debug, Clone)]
pub struct Client {
    pub name: String,
    pub app: String,
    pub batch: usize,
    pub pause: Duration,
}

impl Ledger {
    pub fn acknowledged(&self) -> BTreeSet<String> {
        self.acknowledged.lock().unwrap().clone()
    }

    pub fn sent(&self) -> BTreeSet<String> {
        self.sent.lock().unwrap().clone()
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
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
        let ids: Vec<String> =
            (0..self.batch).map(|index| format!("{}-{number}-{index}", self.name)).collect();
        ledger.sent.lock().unwrap().extend(ids.iter().cloned());
        loop {
            let mut request = Request::new(collection(&self.app, &ids));
            let batch_id = format!("{}-{number}", self.name);
            request.metadata_mut().insert("weir-batch-id", batch_id.parse().expect("plain ASCII"));
            match client.produce_batch(request).await {
                Ok(_) => {
                    ledger.acknowledged.lock().unwrap().extend(ids);
                    return;
                }
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

/// A batch of events, each with its id and something to read.
pub fn collection(app: &str, ids: &[String]) -> TimberCollection {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let number = |number: f64| Value { kind: Some(Kind::NumberValue(number)) };
    let items = ids.iter().enumerate().map(|(index, id)| {
        let fields = [
            ("id".to_owned(), text(id)),
            ("message".to_owned(), text("request served from the cache, nothing else to be said of it")),
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
