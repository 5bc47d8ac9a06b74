//! Clients of the doors that send numbered events, try again until they are answered, and remember what was
//! acknowledged.

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
use crate::process::Addresses;

const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(20);

const MESSAGE: &str = "request served from the cache, nothing else to be said of it";

/// How a client sends.
#[derive(Debug, Clone)]
pub struct Client {
    pub name: String,
    pub app: String,
    pub batch: usize,
    pub pause: Duration,
}

/// Where a client sends to.
enum Door {
    Grpc(ProducerClient<Channel>),
    /// weir's own, over HTTP.
    Http {
        http: reqwest::Client,
        url: String,
    },
}

/// What a door said in place of an acknowledgement.
#[derive(Debug)]
struct Refusal {
    what: String,
    /// Trying again can cure it.
    may_pass: bool,
}

impl Client {
    /// Sends batches until the ledger says stop; the one in hand is seen through.
    pub async fn run(self, address: SocketAddr, ledger: Arc<Ledger>) {
        let channel = Channel::from_shared(format!("http://{address}"))
            .expect("an address is a URI")
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .connect_lazy();
        self.send_all(Door::Grpc(ProducerClient::new(channel)), &ledger).await;
    }

    /// As `run`, through weir's own door.
    pub async fn run_over_http(self, addresses: Addresses, ledger: Arc<Ledger>) {
        let http = reqwest::Client::builder().connect_timeout(CONNECT).timeout(ANSWER).build();
        let url = format!("http://{}/api/v1/apps/{}/events", addresses.http, self.app);
        self.send_all(Door::Http { http: http.expect("there is no TLS to fail"), url }, &ledger).await;
    }

    async fn send_all(self, mut door: Door, ledger: &Ledger) {
        for number in 0u64.. {
            if ledger.stopped() {
                return;
            }
            self.send(&mut door, number, ledger).await;
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn send(&self, door: &mut Door, number: u64, ledger: &Ledger) {
        let batch = format!("{}-{number}", self.name);
        ledger.sent(&batch, self.batch);
        loop {
            match door.produce(self, &batch).await {
                Ok(()) => return ledger.acknowledge(&batch),
                Err(refusal) => {
                    assert!(refusal.may_pass, "a good batch was refused for good: {}", refusal.what);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
}

impl Door {
    async fn produce(&mut self, client: &Client, batch: &str) -> Result<(), Refusal> {
        match self {
            Self::Grpc(grpc) => {
                let mut request = Request::new(collection(&client.app, batch, client.batch, MESSAGE));
                request.metadata_mut().insert("weir-batch-id", batch.parse().expect("plain ASCII"));
                let answer = grpc.produce_batch(request).await;
                answer
                    .map(drop)
                    .map_err(|status| Refusal { may_pass: may_pass(&status), what: format!("{status:?}") })
            }
            Self::Http { http, url } => {
                let request = http
                    .post(&*url)
                    .header("weir-batch-id", batch)
                    .header("content-type", "application/x-ndjson")
                    .body(json_lines(batch, client.batch, MESSAGE));
                // Without an answer nobody knows, and the id of the batch makes it safe to ask again.
                let unanswered = |error: reqwest::Error| Refusal { what: error.to_string(), may_pass: true };
                let answer = request.send().await.map_err(unanswered)?;
                let status = answer.status();
                if status.is_success() {
                    return Ok(());
                }
                let may_pass = status.is_server_error() || status.as_u16() == 429;
                let body = answer.text().await.map_err(unanswered)?;
                Err(Refusal { what: format!("{status}: {body}"), may_pass })
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

/// The events of `collection`, as JSON lines.
fn json_lines(batch: &str, events: usize, message: &str) -> String {
    let line = |index: usize| {
        let (status, level) = if index.is_multiple_of(7) { (500, "error") } else { (200, "info") };
        format!(
            "{{\"id\":\"{batch}-{index}\",\"message\":\"{message}\",\"status\":{status},\"level\":\"{level}\"}}\n"
        )
    };
    (0..events).map(line).collect()
}
