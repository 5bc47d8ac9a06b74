//! Dead letters go through the doors of this process like any client's events: checked, limited, known by
//! their batch id.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use weir_consumer::ledger::is_loss;
use weir_model::{EventId, RecordFormat};
use weir_server::{Door, Refused, Remedy, StreamNames};
use weir_store::DeadLetter;
use weir_wire::proto::producer::TimberCollection;
use weir_wire::proto::producer::producer_client::ProducerClient;
use weir_wire::proto::v1::Event;
use weir_wire::proto::v1::event::Content;
use weir_wire::{Context, single_event_record};

use super::listeners::Addresses;

/// The doors of this process, from the outside.
#[derive(Debug)]
pub(super) struct OwnDoors {
    grpc: Channel,
    http: reqwest::Client,
    address: String,
    names: StreamNames,
}

const TIMEOUT: Duration = Duration::from_secs(30);
/// As large as the doors take them; the doors themselves say when a letter is too large.
const MESSAGE: usize = 1 << 30;

impl OwnDoors {
    pub(super) fn new(addresses: Addresses, names: StreamNames) -> Self {
        let grpc = format!("http://{}", Addresses::local(addresses.grpc));
        let grpc = Endpoint::from_shared(grpc).expect("a socket address makes a URL").timeout(TIMEOUT);
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build();
        Self {
            grpc: grpc.connect_lazy(),
            http: http.expect("a client without TLS has nothing to fail on"),
            address: format!("http://{}", Addresses::local(addresses.http)),
            names,
        }
    }

    /// The name that a client would have used for the stream.
    fn topic<'a>(&self, letter: &'a DeadLetter) -> &'a str {
        let name = letter.position.partition.stream.as_str();
        let name = name.strip_prefix(&self.names.prefix).unwrap_or(name);
        name.strip_suffix(&self.names.suffix).unwrap_or(name)
    }

    async fn by_grpc(&self, letter: &DeadLetter) -> Result<(), Refused> {
        let prefix = letter.prefix.as_ref().ok_or_else(|| never("it is not known which index it was for"))?;
        let context =
            Context { topic: self.topic(letter), index_prefix: prefix.as_str(), ..Context::default() };
        let (_, value) = single_event_record(letter.format, &letter.original, &context);
        let collection = TimberCollection::decode(value).map_err(|error| never(error.to_string()))?;
        let mut request = Request::new(collection);
        let id = MetadataValue::try_from(batch_id(letter)).map_err(|error| never(error.to_string()))?;
        request.metadata_mut().insert("weir-batch-id", id);
        let mut client = ProducerClient::new(self.grpc.clone()).max_encoding_message_size(MESSAGE);
        client.produce_batch(request).await.map(drop).map_err(|status| of_status(&status))
    }

    async fn by_http(&self, letter: &DeadLetter) -> Result<(), Refused> {
        let event = Event::decode(letter.original.clone()).map_err(|error| never(error.to_string()))?;
        let (media_type, body) = match event.content {
            Some(Content::Json(text)) => ("application/x-ndjson", text),
            Some(Content::Message(line)) => ("text/plain", Bytes::from(line)),
            None => return Err(never("it has no content")),
        };
        let url = format!("{}/api/v1/apps/{}/events", self.address, self.topic(letter));
        let request = self.http.post(url).header("content-type", media_type);
        let answer = request.header("weir-batch-id", batch_id(letter)).body(body).send().await;
        let answer = answer.map_err(|error| later(error.to_string()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let reason = answer.text().await.unwrap_or_default();
        let reason = format!("{status}: {reason}");
        Err(if status.is_client_error() && status.as_u16() != 429 { never(reason) } else { later(reason) })
    }
}

#[async_trait]
impl Door for OwnDoors {
    async fn give_again(&self, letter: &DeadLetter) -> Result<(), Refused> {
        if is_loss(letter) {
            return Err(never("it stands for events that are lost; there are no bytes to send"));
        }
        match letter.format {
            RecordFormat::Timber | RecordFormat::TimberCollection => self.by_grpc(letter).await,
            RecordFormat::Events => self.by_http(letter).await,
        }
    }
}

/// The same letter has the same id, so that the door stores it once however often it is given.
fn batch_id(letter: &DeadLetter) -> String {
    format!("replay-{}", EventId(letter.position.clone()))
}

fn of_status(status: &Status) -> Refused {
    let reason = status.message().to_owned();
    match status.code() {
        Code::InvalidArgument | Code::Unimplemented | Code::AlreadyExists | Code::OutOfRange => never(reason),
        _ => later(reason),
    }
}

fn never(reason: impl Into<String>) -> Refused {
    Refused { reason: reason.into(), remedy: Remedy::None }
}

fn later(reason: impl Into<String>) -> Refused {
    Refused { reason: reason.into(), remedy: Remedy::TryLater }
}
