//! Dead letters go through the doors of a producer like any client's events: checked, limited, known by their batch
//! id.

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Uri};
use tonic::{Code, Request, Status};
use weir_consumer::ledger::is_loss;
use weir_fleet::Fleet;
use weir_foundation::clock::{SystemClock, timeout};
use weir_foundation::failure::chain;
use weir_foundation::settings::Secret;
use weir_model::{EventId, RecordFormat};
use weir_server::{Door, Refused, Remedy, StreamNames};
use weir_store::DeadLetter;
use weir_wire::proto::producer::TimberCollection;
use weir_wire::proto::producer::producer_client::ProducerClient;
use weir_wire::proto::v1::Event;
use weir_wire::proto::v1::event::Content;
use weir_wire::{Context, single_event_record};

use super::listeners::Addresses;
use super::ways::{Guide, Places, Rest, TIMEOUT, is_private};

/// The doors of a producer, from the outside.
#[derive(Debug)]
pub(super) struct Doors {
    guide: Guide,
    names: StreamNames,
    /// Whose processes they know; absent where they belong to no instance, or to another one.
    passes: Option<Fleet>,
}

/// Of an answer that is read.
const ANSWER: usize = 1 << 20;
/// As large as the doors take them; the doors themselves say when a letter is too large.
const MESSAGE: usize = 1 << 30;

impl Doors {
    /// Those of this process.
    pub(super) fn own(addresses: Addresses, names: StreamNames, fleet: Fleet) -> Self {
        let url = |address| {
            let url = Uri::try_from(format!("http://{}", Addresses::local(address)));
            Some(url.expect("a socket address makes a URL"))
        };
        let places = Places { grpc: url(addresses.grpc), rest: url(addresses.http), tls: None };
        Self { guide: Guide::new(places, fleet.clone()), names, passes: Some(fleet) }
    }

    /// Those of producers elsewhere, as far as they are known. Whether they are of the instance is not.
    pub(super) fn at(places: Places, names: StreamNames, fleet: Fleet) -> Self {
        Self { guide: Guide::new(places, fleet), names, passes: None }
    }

    /// They know the processes of this instance.
    #[must_use]
    pub(super) fn of_instance(self, fleet: Fleet) -> Self {
        Self { passes: Some(fleet), ..self }
    }

    /// What is shown at that door.
    fn pass_for(&self, door: Option<&Uri>) -> Option<Secret> {
        let fleet = self.passes.as_ref().filter(|_| door.is_some_and(is_private))?;
        Some(fleet.pass())
    }

    /// The name that a client would have used for the stream.
    fn topic<'a>(&self, letter: &'a DeadLetter) -> &'a str {
        let name = letter.position.partition.stream.as_str();
        let name = name.strip_prefix(&self.names.prefix).unwrap_or(name);
        name.strip_suffix(&self.names.suffix).unwrap_or(name)
    }

    async fn by_grpc(&self, channel: &Channel, letter: &DeadLetter) -> Result<(), Refused> {
        let prefix = letter.prefix.as_ref().ok_or_else(|| never("it is not known which index it was for"))?;
        let pass = self.pass_for(self.guide.places().grpc.as_ref());
        let context = Context {
            topic: self.topic(letter),
            index_prefix: prefix.as_str(),
            app_secret: pass.as_ref().map(Secret::reveal),
            ..Context::default()
        };
        let (_, value) = single_event_record(letter.format, &letter.original, &context);
        let collection = TimberCollection::decode(value).map_err(|error| never(error.to_string()))?;
        let mut request = Request::new(collection);
        let id = MetadataValue::try_from(batch_id(letter)).map_err(|error| never(error.to_string()))?;
        request.metadata_mut().insert("weir-batch-id", id);
        let mut client = ProducerClient::new(channel.clone()).max_encoding_message_size(MESSAGE);
        client.produce_batch(request).await.map(drop).map_err(|status| of_status(&status))
    }

    async fn by_rest(&self, rest: &Rest, letter: &DeadLetter) -> Result<(), Refused> {
        let event = Event::decode(letter.original.clone()).map_err(|error| never(error.to_string()))?;
        let (media_type, body) = match event.content {
            Some(Content::Json(text)) => ("application/x-ndjson", text),
            Some(Content::Message(line)) => ("text/plain", Bytes::from(line)),
            None => return Err(never("it has no content")),
        };
        let url = format!("{}/api/v1/apps/{}/events", rest.address, self.topic(letter));
        let url: Uri =
            url.parse().map_err(|error| never(format!("no URL is made of its stream: {error}")))?;
        let id = HeaderValue::try_from(batch_id(letter)).map_err(|error| never(error.to_string()))?;
        let media_type = HeaderValue::from_static(media_type);
        let headers = [(CONTENT_TYPE, media_type), (HeaderName::from_static("weir-batch-id"), id)];
        let mut headers = HeaderMap::from_iter(headers);
        if let Some(pass) = self.pass_for(self.guide.places().rest.as_ref()) {
            let pass = HeaderValue::try_from(format!("Bearer {}", pass.reveal()));
            let mut pass = pass.map_err(|error| never(error.to_string()))?;
            pass.set_sensitive(true);
            headers.insert(AUTHORIZATION, pass);
        }
        let asked = rest.http.post(&url, headers, body, ANSWER);
        let answer = timeout(&SystemClock, TIMEOUT, asked).await.map_err(|error| later(error.to_string()))?;
        let failed = |error| later(format!("the producer at {}: {}", rest.address, chain(&error)));
        let answer = answer.map_err(failed)?;
        let status = answer.status;
        if status.is_success() {
            return Ok(());
        }
        let reason = format!("{status}: {}", String::from_utf8_lossy(&answer.body));
        Err(if status.is_client_error() && status.as_u16() != 429 { never(reason) } else { later(reason) })
    }
}

#[async_trait]
impl Door for Doors {
    async fn give_again(&self, letter: &DeadLetter) -> Result<(), Refused> {
        if is_loss(letter) {
            return Err(never("it stands for events that are lost; there are no bytes to send"));
        }
        let no_door = |setting| Err(never(format!("no door is known that takes it: set `server.{setting}`")));
        let ways = self.guide.ways().map_err(|error| later(chain(&*error).to_string()))?;
        match letter.format {
            RecordFormat::Timber | RecordFormat::TimberCollection => match &ways.grpc {
                Some(channel) => self.by_grpc(channel, letter).await,
                None => no_door("producer_grpc_url"),
            },
            RecordFormat::Events => match &ways.rest {
                Some(rest) => self.by_rest(rest, letter).await,
                None => no_door("producer_http_url"),
            },
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
