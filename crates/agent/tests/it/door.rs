//! A server that keeps what agents send in memory, by the rules of `proto/weir/ingest/v1/ingest.proto`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, Stream, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use weir_model::{EventRef, RecordFormat, Timestamp};
use weir_wire::compression::{Encoding, decompress};
use weir_wire::decode_record;
use weir_wire::proto::ingest::agent_message::Kind as AgentKind;
use weir_wire::proto::ingest::answer::Outcome;
use weir_wire::proto::ingest::ingest_server::{Ingest, IngestServer};
use weir_wire::proto::ingest::server_message::Kind;
use weir_wire::proto::ingest::{
    AgentMessage, Answer, Batch, Compression, Later, Refused, ServerMessage, Stored, Welcome,
};

/// What the door does with a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    /// Nothing is answered until it changes.
    Slow,
    /// It has no room.
    Full,
    /// It stores the batch, and ends the stream before it answers.
    Rude,
    /// It takes nothing of this app.
    Refusing(&'static str),
}

/// An event as it came.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) app: String,
    pub(crate) time: Timestamp,
    pub(crate) content: Value,
}

impl Event {
    pub(crate) fn message(&self) -> &str {
        self.content["message"].as_str().expect("a text")
    }

    pub(crate) fn file(&self) -> &str {
        let path = self.content["file"].as_str().expect("a path");
        path.rsplit('/').next().unwrap_or(path)
    }
}

#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    mood: Arc<watch::Sender<Mood>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    marks: HashMap<Vec<u8>, u64>,
    events: Vec<Event>,
    batches: u64,
    /// What an agent should not have done.
    wrong: Vec<String>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door {
    pub(crate) async fn open() -> Self {
        Self::taking(4 << 20).await
    }

    /// A door that takes batches of at most so many bytes.
    #[expect(clippy::disallowed_methods, reason = "the server of a test needs no supervision")]
    pub(crate) async fn taking(max_batch_bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let (shared, mood) = (Arc::new(Shared::default()), Arc::new(watch::Sender::new(Mood::Good)));
        let service = Service { shared: Arc::clone(&shared), mood: Arc::clone(&mood), max_batch_bytes };
        let incoming = TcpListenerStream::new(listener);
        let task = tokio::spawn(async move {
            let served = Server::builder().add_service(IngestServer::new(service));
            served.serve_with_incoming(incoming).await.expect("it serves until it is dropped");
        });
        Self { address, shared, mood, task }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Everything that came so far, in the order in which it came.
    pub(crate) fn events(&self) -> Vec<Event> {
        let state = self.shared.state();
        assert!(state.wrong.is_empty(), "{:?}", state.wrong);
        state.events.clone()
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        self.events().iter().map(|event| event.message().to_owned()).collect()
    }

    /// How many batches came, whatever became of them.
    pub(crate) fn batches(&self) -> u64 {
        self.shared.state().batches
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Service {
    shared: Arc<Shared>,
    mood: Arc<watch::Sender<Mood>>,
    max_batch_bytes: u64,
}

type Messages = Pin<Box<dyn Stream<Item = Result<ServerMessage, Status>> + Send>>;

#[tonic::async_trait]
impl Ingest for Service {
    type StreamStream = Messages;

    #[expect(clippy::disallowed_methods, reason = "the server of a test needs no supervision")]
    async fn stream(&self, request: Request<Streaming<AgentMessage>>) -> Result<Response<Messages>, Status> {
        let mut incoming = request.into_inner();
        // What comes is seen while answers wait.
        let (sender, messages) = mpsc::channel(64);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            while let Some(message) = incoming.next().await {
                if let Ok(AgentMessage { kind: Some(AgentKind::Batch(_)) }) = &message {
                    shared.state().batches += 1;
                }
                if sender.send(message).await.is_err() {
                    return;
                }
            }
        });
        let (shared, mood) = (Arc::clone(&self.shared), self.mood.subscribe());
        let max_batch_bytes = self.max_batch_bytes;
        let answers = stream::unfold((messages, mood), move |(mut messages, mut mood)| {
            let shared = Arc::clone(&shared);
            async move {
                let answer = match messages.recv().await? {
                    Err(status) => Err(status),
                    Ok(message) => match message.kind? {
                        AgentKind::Hello(_) => Ok(Kind::Welcome(Welcome {
                            window_bytes: 64 << 20,
                            window_batches: 64,
                            max_batch_bytes,
                            ..Welcome::default()
                        })),
                        AgentKind::Token(_) => Err(Status::invalid_argument("nobody asked for it")),
                        AgentKind::Batch(batch) => {
                            let mood = mood.wait_for(|mood| *mood != Mood::Slow).await.ok()?.clone();
                            shared.state().take(&batch, &mood).map(Kind::Answer)
                        }
                    },
                };
                Some((answer.map(|kind| ServerMessage { kind: Some(kind) }), (messages, mood)))
            }
        });
        Ok(Response::new(answers.boxed()))
    }
}

impl State {
    fn take(&mut self, batch: &Batch, mood: &Mood) -> Result<Answer, Status> {
        let code = |code: &str| (code.to_owned(), "by the will of a test".to_owned());
        let outcome = match mood {
            Mood::Full => {
                let (code, message) = code("journal-full");
                Outcome::Later(Later { delay_millis: 5, code, message })
            }
            Mood::Refusing(app) if *app == batch.app => {
                let (code, message) = code("bad-app-name");
                Outcome::Refused(Refused { code, message })
            }
            Mood::Rude => {
                self.store(batch);
                return Err(Status::unavailable("by the will of a test"));
            }
            Mood::Good | Mood::Slow | Mood::Refusing(_) => self.store(batch),
        };
        Ok(Answer { sequence: batch.sequence, outcome: Some(outcome) })
    }

    fn store(&mut self, batch: &Batch) -> Outcome {
        let Some(stretch) = &batch.stretch else {
            self.wrong.push("a batch is from nowhere".to_owned());
            return Outcome::Stored(Stored { mark: 0 });
        };
        if stretch.end <= stretch.start || stretch.stored > stretch.start || stretch.source.len() != 16 {
            self.wrong.push(format!("{stretch:?}"));
        }
        let mark = self.marks.get(&stretch.source).copied().unwrap_or(0).max(stretch.stored);
        if stretch.start < mark {
            return Outcome::Stored(Stored { mark });
        }
        if stretch.start > mark {
            let (code, message) = ("out-of-order".to_owned(), "something before it is not stored".to_owned());
            return Outcome::Later(Later { delay_millis: 1, code, message });
        }
        let events = events(batch);
        if events.len() != batch.events as usize {
            self.wrong.push(format!("{} events are said to be {}", events.len(), batch.events));
        }
        self.events.extend(events);
        self.marks.insert(stretch.source.clone(), stretch.end);
        Outcome::Stored(Stored { mark: stretch.end })
    }
}

fn events(batch: &Batch) -> Vec<Event> {
    if batch.events == 0 {
        return Vec::new();
    }
    let encoding = match batch.compression() {
        Compression::None => Encoding::Identity,
        Compression::Zstd => Encoding::Zstd,
    };
    let value = decompress(encoding, &batch.payload, 64 << 20).expect("it was compressed by the agent");
    let decoded = decode_record(RecordFormat::Events, &value.into(), Timestamp::default());
    let decoded = decoded.expect("it was made by the agent");
    let event = |event: EventRef<'_>| Event {
        app: batch.app.clone(),
        time: event.time,
        content: serde_json::from_str(&event.content.expect("it is an object").to_string())
            .expect("it is JSON"),
    };
    decoded.events().map(event).collect()
}
