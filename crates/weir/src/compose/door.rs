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

/// `google.rpc.Status`, as far as it is read here.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
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
        Code::InvalidArgument
        | Code::Unimplemented
        | Code::AlreadyExists
        | Code::OutOfRange
        | Code::Unauthenticated
        | Code::PermissionDenied => never(reason),
        Code::ResourceExhausted | Code::FailedPrecondition if is_final(status) => never(reason),
        _ => later(reason),
    }
}

/// Whether a producer says no more than why: where something may change it says after which delay.
fn is_final(status: &Status) -> bool {
    // What can not be read is not from a producer.
    let details = RpcStatus::decode(status.details()).unwrap_or_default().details;
    let is_delay = |detail: &prost_types::Any| detail.type_url.ends_with("/google.rpc.RetryInfo");
    !details.is_empty() && !details.iter().any(is_delay)
}

fn never(reason: impl Into<String>) -> Refused {
    Refused { reason: reason.into(), remedy: Remedy::None }
}

fn later(reason: impl Into<String>) -> Refused {
    Refused { reason: reason.into(), remedy: Remedy::TryLater }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};
    use std::sync::Arc;

    use tokio::runtime::Handle;
    use weir_fleet::{AppLimits, NewSecret, OperatorName};
    use weir_foundation::settings::FlagValue;
    use weir_foundation::supervise::{DrainDeadlines, Supervisor};
    use weir_foundation::telemetry::LastLines;
    use weir_model::{
        AppName, Incarnation, IndexPrefix, Offset, PartitionIndex, Position, StreamName, StreamPartition,
        Timestamp,
    };
    use weir_store::DeadReason;
    use weir_wire::proto::producer::Timber;

    use super::super::{Process, Running, up};
    use super::*;
    use crate::settings::Given;

    /// A weir that takes small messages of apps that it knows.
    async fn weir(directory: &tempfile::TempDir) -> Running {
        let data = directory.path().join("data").display().to_string();
        let flags = [
            ("data_dir", &*data),
            ("listen.http", "127.0.0.1:0"),
            ("listen.ops", "127.0.0.1:0"),
            ("producer.grpc_listen", "127.0.0.1:0"),
            ("producer.ingest_listen", "127.0.0.1:0"),
            ("fleet.enrol_listen", "127.0.0.1:0"),
            ("producer.unknown_apps", "refuse"),
            ("producer.max_message", "1KiB"),
        ];
        let flag =
            |(path, value): (&'static str, &str)| FlagValue { path, value: value.to_owned(), flag: "a test" };
        let given = Given { flags: flags.into_iter().map(flag).collect(), ..Given::default() };
        let settings = given.read().settings.expect("the settings are good");
        let supervisor = Supervisor::new(Handle::current(), Arc::new(SystemClock), DrainDeadlines::default());
        let process = Process::new(Arc::new(SystemClock), supervisor.spawner(), LastLines::default());
        up(&settings, &process).await.expect("everything starts")
    }

    /// As somebody who is not of the instance.
    fn doors(grpc: SocketAddr, rest: SocketAddr, fleet: &Fleet) -> Doors {
        let url = |address| Some(format!("http://{address}").parse().expect("is a URL"));
        let places = Places { grpc: url(grpc), rest: url(rest), tls: None };
        let names = StreamNames { prefix: String::new(), suffix: "_logs".to_owned() };
        Doors::at(places, names, fleet.clone())
    }

    /// The same for each of the doors.
    fn letters(app: &str, line: &str) -> [DeadLetter; 2] {
        let letter = |format, offset, original| DeadLetter {
            position: Position {
                partition: StreamPartition {
                    stream: StreamName::new(&format!("{app}_logs")).expect("is legal"),
                    incarnation: Incarnation(1),
                    partition: PartitionIndex(0),
                },
                offset: Offset(offset),
                index: 0,
            },
            events: 1,
            received: Timestamp::from_micros(0),
            died: Timestamp::from_micros(0),
            prefix: Some(IndexPrefix::new(app).expect("is legal")),
            format,
            reason: DeadReason { code: "rejected".to_owned(), message: "no".to_owned() },
            original,
        };
        let text = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(line.to_owned())) };
        let content = prost_types::Struct { fields: [("message".to_owned(), text)].into() };
        let timber = Timber { content: Some(content), ..Timber::default() };
        let event = Event { content: Some(Content::Message(line.to_owned())), ..Event::default() };
        [
            letter(RecordFormat::TimberCollection, 0, timber.encode_to_vec().into()),
            letter(RecordFormat::Events, 1, event.encode_to_vec().into()),
        ]
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn both_doors_say_what_is_refused_for_good() {
        let directory = tempfile::tempdir().expect("there is space");
        let running = weir(&directory).await;
        let (fleet, admin) = (&running.fleet, OperatorName::new("admin").expect("is legal"));
        for (app, secret) in [("shop", Some(&NewSecret::Random)), ("open", None)] {
            let app = AppName::new(app).expect("is legal");
            fleet.create_app(&app, &AppLimits::default(), secret, &admin).await.expect("created");
        }
        let near = doors(running.addresses.grpc, running.addresses.http, fleet);
        let refusals = async |doors: &Doors, app: &str, line: &str| {
            let mut refusals = Vec::new();
            for letter in letters(app, line) {
                refusals.push(doors.give_again(&letter).await.expect_err("it is refused"));
            }
            refusals
        };
        let check = async |doors: &Doors, app: &str, line: &str, expected: Remedy| {
            for refused in refusals(doors, app, line).await {
                assert_eq!(refused.remedy, expected, "{app}: {}", refused.reason);
            }
        };
        check(&near, "shop", "its secret is not shown", Remedy::None).await;
        check(&near, "nobody", "there is no such app", Remedy::None).await;
        check(&near, "open", &"too large ".repeat(200), Remedy::None).await;
        for letter in letters("open", "a line") {
            near.give_again(&letter).await.expect("it is taken");
        }
        // It is not bound: whoever had it is gone.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("some port is free");
        let nobody = free.local_addr().expect("is bound");
        drop(free);
        check(&doors(nobody, nobody, fleet), "open", "a line", Remedy::TryLater).await;
    }

    #[test]
    fn a_producer_that_names_a_delay_is_asked_again() {
        let check = |code: Code, details: &[&str], expected: Remedy| {
            let detail = |name: &&str| prost_types::Any {
                type_url: format!("type.googleapis.com/google.rpc.{name}"),
                value: Vec::new(),
            };
            let rpc = RpcStatus { details: details.iter().map(detail).collect() };
            let status = Status::with_details(code, "no", rpc.encode_to_vec().into());
            assert_eq!(of_status(&status).remedy, expected, "{code:?} {details:?}");
        };
        for code in [Code::ResourceExhausted, Code::FailedPrecondition] {
            check(code, &["ErrorInfo"], Remedy::None);
            check(code, &["ErrorInfo", "RetryInfo"], Remedy::TryLater);
            // Of something on the way.
            check(code, &[], Remedy::TryLater);
        }
        for code in [Code::Unauthenticated, Code::PermissionDenied, Code::InvalidArgument] {
            check(code, &["ErrorInfo"], Remedy::None);
        }
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Unknown] {
            check(code, &[], Remedy::TryLater);
        }
    }
}
