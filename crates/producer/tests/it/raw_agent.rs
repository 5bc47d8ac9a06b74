//! An agent that sends what a test wants.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use weir_model::IndexPrefix;
use weir_wire::EventsBuilder;
use weir_wire::compression::{self, Encoding};
use weir_wire::proto::ingest::agent_message::Kind;
use weir_wire::proto::ingest::answer::Outcome;
use weir_wire::proto::ingest::ingest_client::IngestClient;
use weir_wire::proto::ingest::{
    AgentMessage, Answer, Batch, Compression, Hello, Later, Refused, ServerMessage, Stored, Stretch,
    Throttle, Welcome, server_message,
};

use crate::harness::World;

/// Its stream.
pub(crate) struct Agent {
    messages: mpsc::Sender<AgentMessage>,
    answers: Streaming<ServerMessage>,
    pub(crate) sequence: u64,
    pub(crate) max_batch_bytes: u64,
    /// Why it was told to wait with everything, each time.
    pub(crate) throttles: Vec<String>,
    /// How far sources were stored when this began to send.
    stored: BTreeMap<u8, u64>,
}

impl Agent {
    pub(crate) async fn connect(world: &World) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", world.ingest)).expect("is an address");
        let channel = endpoint.connect().await.expect("it listens");
        Self::begin(channel, None).await.expect("it begins")
    }

    /// Begins a stream, with a token if there is one.
    pub(crate) async fn begin(channel: Channel, token: Option<&str>) -> Result<Self, Status> {
        let (messages, outgoing) = mpsc::channel(100);
        let mut request = Request::new(ReceiverStream::new(outgoing));
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().expect("a token is ASCII");
            request.metadata_mut().insert("authorization", value);
        }
        let answers = IngestClient::new(channel).stream(request).await?.into_inner();
        Ok(Self {
            messages,
            answers,
            sequence: 0,
            max_batch_bytes: 0,
            throttles: Vec::new(),
            stored: BTreeMap::new(),
        })
    }

    /// Connects and says who it is.
    pub(crate) async fn greeting(world: &World, name: &str) -> Self {
        let mut agent = Self::connect(world).await;
        agent
            .say(Kind::Hello(Hello {
                agent: name.to_owned(),
                version: "1".to_owned(),
                seal_public: Vec::new(),
            }))
            .await;
        let welcome = agent.hear().await.expect("the stream goes on");
        let Some(server_message::Kind::Welcome(Welcome {
            window_bytes,
            window_batches,
            max_batch_bytes,
            ..
        })) = welcome
        else {
            unreachable!("{welcome:?}")
        };
        assert!(window_bytes >= max_batch_bytes && window_batches > 1);
        agent.max_batch_bytes = max_batch_bytes;
        agent
    }

    pub(crate) async fn say(&self, kind: Kind) {
        self.messages.send(AgentMessage { kind: Some(kind) }).await.expect("the stream is open");
    }

    /// Whether the server takes it, within a time in which it takes whatever it will.
    pub(crate) async fn could_say(&self, kind: Kind) -> bool {
        let said = self.messages.send(AgentMessage { kind: Some(kind) });
        matches!(tokio::time::timeout(Duration::from_millis(500), said).await, Ok(Ok(())))
    }

    pub(crate) async fn hear(&mut self) -> Result<Option<server_message::Kind>, Status> {
        Ok(self.answers.message().await?.and_then(|message| message.kind))
    }

    /// Sends a batch with these lines, from that part of a source.
    pub(crate) async fn send(&mut self, source: u8, stretch: Range<u64>, lines: &[&str]) -> u64 {
        self.sequence += 1;
        let batch = Batch {
            sequence: self.sequence,
            stretch: Some(self.stretch(source, stretch)),
            ..batch("shop", lines)
        };
        self.say(Kind::Batch(batch)).await;
        self.sequence
    }

    /// Whoever sends the first batch of a source has had answers up to there.
    pub(crate) fn stretch(&mut self, source: u8, Range { start, end }: Range<u64>) -> Stretch {
        let stored = *self.stored.entry(source).or_insert(start).min(&mut start.clone());
        Stretch { source: vec![source; 16], start, end, stored }
    }

    pub(crate) async fn answer(&mut self) -> (u64, Outcome) {
        loop {
            match self.hear().await.expect("the stream goes on") {
                Some(server_message::Kind::Answer(Answer { sequence, outcome })) => {
                    return (sequence, outcome.expect("it says something"));
                }
                Some(server_message::Kind::Throttle(Throttle { delay_millis, code, .. })) => {
                    assert!(delay_millis > 0);
                    self.throttles.push(code);
                }
                other => unreachable!("{other:?}"),
            }
        }
    }

    /// Waits until the server ends the stream.
    pub(crate) async fn end(&mut self) -> Option<Status> {
        loop {
            match self.answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }
}

pub(crate) fn batch(app: &str, lines: &[&str]) -> Batch {
    let mut events = EventsBuilder::new(&IndexPrefix::new("shop").expect("is legal"));
    for line in lines {
        events.push_line(line, None);
    }
    let (payload, events) = events.finish();
    let payload = compression::compress(Encoding::Zstd, &payload).expect("memory takes it").into();
    Batch { app: app.to_owned(), events, compression: Compression::Zstd.into(), payload, ..Batch::default() }
}

pub(crate) fn stored(mark: u64) -> Outcome {
    Outcome::Stored(Stored { mark })
}

#[track_caller]
pub(crate) fn later(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Later(Later { code, delay_millis, .. }) => {
            assert!(*delay_millis > 0);
            code
        }
        other => unreachable!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn refused(outcome: &Outcome) -> (&str, &str) {
    match outcome {
        Outcome::Refused(Refused { code, message }) => (code, message),
        other => unreachable!("{other:?}"),
    }
}
