//! The stream of an agent.

use std::collections::BTreeMap;
use std::ops::Range;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};
use weir_foundation::exit::ExitCode;
use weir_foundation::settings::SizeText;
use weir_model::IndexPrefix;
use weir_producer::ProducerSection;
use weir_wire::EventsBuilder;
use weir_wire::compression::{self, Encoding};
use weir_wire::proto::ingest::agent_message::Kind;
use weir_wire::proto::ingest::answer::Outcome;
use weir_wire::proto::ingest::ingest_client::IngestClient;
use weir_wire::proto::ingest::{
    AgentMessage, Answer, Batch, Compression, Hello, Later, Refused, ServerMessage, Stored, Stretch, Welcome,
    server_message,
};

use crate::harness::{World, eventually, while_time_passes};
use crate::journal::Mood;

/// An agent that sends what a test wants.
struct Agent {
    messages: mpsc::Sender<AgentMessage>,
    answers: Streaming<ServerMessage>,
    sequence: u64,
    /// How far sources were stored when this began to send.
    stored: BTreeMap<u8, u64>,
}

impl Agent {
    async fn connect(world: &World) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", world.ingest)).expect("is an address");
        let mut client = IngestClient::new(endpoint.connect().await.expect("it listens"));
        let (messages, outgoing) = mpsc::channel(100);
        let answers = client.stream(ReceiverStream::new(outgoing)).await.expect("it begins").into_inner();
        Self { messages, answers, sequence: 0, stored: BTreeMap::new() }
    }

    /// Connects and says who it is.
    async fn greeting(world: &World, name: &str) -> Self {
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
        assert!(window_bytes >= max_batch_bytes && window_batches > 1 && max_batch_bytes > 1 << 20);
        agent
    }

    async fn say(&self, kind: Kind) {
        self.messages.send(AgentMessage { kind: Some(kind) }).await.expect("the stream is open");
    }

    async fn hear(&mut self) -> Result<Option<server_message::Kind>, Status> {
        Ok(self.answers.message().await?.and_then(|message| message.kind))
    }

    /// Sends a batch with these lines, from that part of a source.
    async fn send(&mut self, source: u8, stretch: Range<u64>, lines: &[&str]) -> u64 {
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
    fn stretch(&mut self, source: u8, Range { start, end }: Range<u64>) -> Stretch {
        let stored = *self.stored.entry(source).or_insert(start).min(&mut start.clone());
        Stretch { source: vec![source; 16], start, end, stored }
    }

    async fn answer(&mut self) -> (u64, Outcome) {
        match self.hear().await.expect("the stream goes on") {
            Some(server_message::Kind::Answer(Answer { sequence, outcome })) => {
                (sequence, outcome.expect("it says something"))
            }
            other => unreachable!("{other:?}"),
        }
    }

    /// Waits until the server ends the stream.
    async fn end(&mut self) -> Option<Status> {
        loop {
            match self.answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }
}

fn batch(app: &str, lines: &[&str]) -> Batch {
    let mut events = EventsBuilder::new(&IndexPrefix::new("shop").expect("is legal"));
    for line in lines {
        events.push_line(line, None);
    }
    let (payload, events) = events.finish();
    let payload = compression::compress(Encoding::Zstd, &payload).expect("memory takes it").into();
    Batch { app: app.to_owned(), events, compression: Compression::Zstd.into(), payload, ..Batch::default() }
}

fn stored(mark: u64) -> Outcome {
    Outcome::Stored(Stored { mark })
}

#[track_caller]
fn later(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Later(Later { code, delay_millis, .. }) => {
            assert!(*delay_millis > 0);
            code
        }
        other => unreachable!("{other:?}"),
    }
}

#[track_caller]
fn refused(outcome: &Outcome) -> (&str, &str) {
    match outcome {
        Outcome::Refused(Refused { code, message }) => (code, message),
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn batches_of_a_source_are_stored_in_order_and_once() {
    let world = World::new().await;
    let mut agent = Agent::greeting(&world, "web-1").await;
    let first = agent.send(1, 0..10, &["a", "b"]).await;
    let second = agent.send(1, 10..20, &["c"]).await;
    let other = agent.send(2, 500..600, &["x"]).await;
    let mut answers = [agent.answer().await, agent.answer().await, agent.answer().await];
    answers.sort_by_key(|(sequence, _)| *sequence);
    assert_eq!(answers, [(first, stored(10)), (second, stored(20)), (other, stored(600))]);
    assert_eq!(world.journal.stored_events(), 4);
    // The same again, a part of it, and what overlaps.
    for (stretch, mark) in [(0..10, 20), (0..20, 20), (5..15, 20), (19..30, 20), (20..30, 30)] {
        agent.send(1, stretch.clone(), &["again"]).await;
        assert_eq!(agent.answer().await.1, stored(mark), "{stretch:?}");
    }
    assert_eq!(world.journal.stored_events(), 5);
    assert_eq!(world.metric(r#"weir_producer_accepted_events_total{stream="shop_logs"}"#), Some(5.0));
    // Another stream of the agent, and another agent with a source of the same name.
    let mut again = Agent::greeting(&world, "web-1").await;
    again.send(1, 0..30, &["all of it"]).await;
    assert_eq!(again.answer().await.1, stored(30));
    let mut another = Agent::greeting(&world, "web-2").await;
    another.send(1, 0..30, &["its own"]).await;
    assert_eq!(another.answer().await.1, stored(30));
    assert_eq!(world.journal.stored_events(), 6);
}

#[tokio::test]
async fn what_follows_a_batch_that_could_not_be_stored_is_not_stored_either() {
    let world = World::new().await;
    let mut agent = Agent::greeting(&world, "web-1").await;
    world.journal.set(Mood::Full);
    for start in [0, 10, 20] {
        agent.send(1, start..start + 10, &["a"]).await;
    }
    assert_eq!(later(&agent.answer().await.1), "journal-full");
    world.journal.set(Mood::Good);
    assert_eq!(later(&agent.answer().await.1), "out-of-order");
    assert_eq!(later(&agent.answer().await.1), "out-of-order");
    assert_eq!(world.journal.stored_events(), 0);
    for start in [0, 10, 20] {
        agent.send(1, start..start + 10, &["a"]).await;
        assert_eq!(agent.answer().await.1, stored(start + 10));
    }
    assert_eq!(world.journal.stored_events(), 3);
}

#[tokio::test]
async fn a_batch_without_memory_is_missed_by_those_behind_it() {
    let section = ProducerSection {
        max_message: Some(SizeText::from_bytes(2 << 20)),
        memory_budget: Some(SizeText::from_bytes(6 << 20)),
        ..ProducerSection::default()
    };
    let world = World::with(section).await;
    let mut agent = Agent::greeting(&world, "web-1").await;
    world.journal.set(Mood::Slow);
    // Noise, which is as large when it is compressed.
    let noise: String = (0..1_500_000u32)
        .map(|n| char::from(33 + u8::try_from(n.wrapping_mul(2_654_435_761) >> 26).unwrap_or(0)))
        .collect();
    for source in 10..14 {
        agent.send(source, 0..10, &[&noise]).await;
    }
    agent.send(1, 0..10, &["first"]).await;
    eventually("somebody is turned away", || {
        world
            .metric(r#"weir_producer_refused_batches_total{door="ingest",reason="budget-exhausted"}"#)
            .is_some()
    })
    .await;
    world.journal.set(Mood::Good);
    let mut turned_away = Vec::new();
    for _ in 0..5 {
        let (sequence, outcome) = agent.answer().await;
        match &outcome {
            Outcome::Stored(_) => {}
            other => {
                assert_eq!(later(other), "budget-exhausted");
                turned_away.push(sequence);
            }
        }
    }
    assert!(!turned_away.is_empty());
    for sequence in turned_away {
        let source = if sequence == 5 { 1 } else { u8::try_from(sequence).expect("is small") + 9 };
        agent.send(source, 10..20, &["behind"]).await;
        assert_eq!(later(&agent.answer().await.1), "out-of-order", "source {source}");
        agent.send(source, 0..10, &["again"]).await;
        assert_eq!(agent.answer().await.1, stored(10));
    }
}

#[tokio::test]
async fn what_is_left_out_moves_the_source_on() {
    let world = World::new().await;
    let mut agent = Agent::greeting(&world, "web-1").await;
    agent.send(1, 0..10, &["a"]).await;
    assert_eq!(agent.answer().await.1, stored(10));
    agent.send(1, 10..50, &[]).await;
    assert_eq!(agent.answer().await.1, stored(50));
    agent.send(1, 50..60, &["b"]).await;
    assert_eq!(agent.answer().await.1, stored(60));
    assert_eq!(world.journal.stored_events(), 2);
}

#[tokio::test]
async fn a_batch_without_a_source_is_stored_as_it_comes() {
    let world = World::new().await;
    let mut agent = Agent::greeting(&world, "web-1").await;
    for _ in 0..2 {
        agent.say(Kind::Batch(batch("shop", &["a", "b"]))).await;
        assert_eq!(agent.answer().await, (0, stored(0)));
    }
    assert_eq!(world.journal.stored_events(), 4);
}

#[tokio::test]
async fn bad_batches_are_refused_by_name_and_the_stream_goes_on() {
    let world = World::new().await;
    let mut agent = Agent::greeting(&world, "web-1").await;
    let bad = [
        (batch("web", &["a"]), "malformed-batch", "for the index `shop`, the batch for the app `web`"),
        (batch("no app", &["a"]), "bad-app-name", "`no app`"),
        (
            Batch { payload: Bytes::from_static(b"\x12\x05"), compression: 0, ..batch("shop", &["a"]) },
            "malformed-batch",
            "malformed",
        ),
        (Batch { events: 2, ..batch("shop", &["a"]) }, "malformed-batch", "has 1 events, the batch says 2"),
        (
            Batch { payload: Bytes::from_static(b"no zstd"), ..batch("shop", &["a"]) },
            "malformed-compression",
            "zstd",
        ),
        (batch("shop", &["x".repeat(5 << 20).as_str()]), "too-large", "4194304"),
    ];
    for (batch, code, message) in bad {
        agent.say(Kind::Batch(batch)).await;
        let outcome = agent.answer().await.1;
        let (found, text) = refused(&outcome);
        assert!(found == code && text.contains(message), "{found}: {text}");
    }
    assert_eq!(world.journal.stored_events(), 0);
    agent.send(1, 0..10, &["a"]).await;
    assert_eq!(agent.answer().await.1, stored(10));
}

#[tokio::test]
async fn what_no_agent_sends_ends_the_stream() {
    let world = World::new().await;
    let hello = |agent: &str| Kind::Hello(Hello { agent: agent.to_owned(), ..Hello::default() });
    let with = |stretch| Kind::Batch(Batch { stretch: Some(stretch), ..batch("shop", &["a"]) });
    let long = "x".repeat(201);
    for first in [Kind::Batch(batch("shop", &["a"])), hello(""), hello(&long)] {
        let mut agent = Agent::connect(&world).await;
        agent.say(first).await;
        assert_eq!(agent.end().await.expect("it fails").code(), Code::InvalidArgument);
    }
    let source = vec![1; 16];
    for second in [
        hello("again"),
        with(Stretch { source: vec![1; 15], start: 0, end: 1, stored: 0 }),
        with(Stretch { source: source.clone(), start: 1, end: 1, stored: 0 }),
        with(Stretch { source: source.clone(), start: 2, end: 1, stored: 0 }),
        with(Stretch { source, start: 2, end: 3, stored: 3 }),
    ] {
        let mut agent = Agent::greeting(&world, "web-1").await;
        agent.say(second).await;
        assert_eq!(agent.end().await.expect("it fails").code(), Code::InvalidArgument);
    }
    let mut silent = Agent::connect(&world).await;
    let end = while_time_passes(&world.clock, Duration::from_millis(50), silent.end()).await;
    assert_eq!(end.expect("it fails").code(), Code::DeadlineExceeded);
    assert_eq!(world.journal.stored_events(), 0);
}

#[tokio::test]
async fn an_app_over_its_rate_is_slowed_down() {
    let world = World::with(ProducerSection { max_app_tps: Some(1), ..ProducerSection::default() }).await;
    let mut agent = Agent::greeting(&world, "web-1").await;
    // More than ever fits at once.
    agent.send(1, 0..10, &["a"; 20]).await;
    assert_eq!(agent.answer().await.1, stored(10));
    agent.send(1, 10..20, &["b"]).await;
    assert_eq!(later(&agent.answer().await.1), "rate-limited");
    world.clock.advance(Duration::from_secs(1));
    agent.send(1, 10..20, &["b"]).await;
    assert_eq!(agent.answer().await.1, stored(20));
}

#[tokio::test]
async fn a_drain_answers_what_came_and_ends_the_stream() {
    let world = World::new().await;
    let mut agent = Agent::greeting(&world, "web-1").await;
    world.journal.set(Mood::Slow);
    let sequence = agent.send(1, 0..10, &["a"]).await;
    world.journal.asked(1).await;
    let mut ending = pin!(world.supervisor.run_until(async {}));
    let hearing = async {
        assert!(matches!(agent.hear().await, Ok(Some(server_message::Kind::Drain(_)))));
        world.journal.set(Mood::Good);
        assert_eq!(agent.answer().await, (sequence, stored(10)));
        assert!(agent.end().await.is_none(), "it ends well");
    };
    tokio::select! {
        code = &mut ending => unreachable!("{code:?}"),
        () = hearing => drop(agent),
    }
    let ended = while_time_passes(&world.clock, Duration::from_millis(10), ending).await;
    assert_eq!(ended, ExitCode::Good);
}
