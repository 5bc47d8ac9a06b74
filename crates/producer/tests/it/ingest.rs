//! The stream of an agent.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tonic::Code;
use weir_foundation::exit::ExitCode;
use weir_foundation::settings::SizeText;
use weir_producer::ProducerSection;
use weir_wire::proto::ingest::agent_message::Kind;
use weir_wire::proto::ingest::answer::Outcome;
use weir_wire::proto::ingest::{Batch, Hello, Stretch, server_message};

use crate::harness::{World, eventually, while_time_passes};
use crate::journal::Mood;
use crate::raw_agent::{Agent, batch, later, refused, stored};

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

/// Clients may be held shorter than a long line of a file needs.
#[tokio::test]
async fn agents_may_send_a_long_line_whatever_clients_may() {
    let section =
        ProducerSection { max_message: Some(SizeText::from_bytes(1 << 10)), ..ProducerSection::default() };
    let world = World::with(section).await;
    let mut agent = Agent::greeting(&world, "web-1").await;
    assert_eq!(agent.max_batch_bytes, 64 << 10);
    agent.send(1, 0..10, &[&"a".repeat(60 << 10)]).await;
    assert_eq!(agent.answer().await.1, stored(10));
    agent.send(1, 10..20, &[&"a".repeat(70 << 10)]).await;
    assert_eq!(refused(&agent.answer().await.1).0, "too-large");
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
    assert!(agent.throttles.is_empty(), "that is the affair of one app");
    world.clock.advance(Duration::from_secs(1));
    agent.send(1, 10..20, &["b"]).await;
    assert_eq!(agent.answer().await.1, stored(20));
}

#[tokio::test]
async fn what_meets_all_sources_throttles_the_agent_once() {
    let world = World::new().await;
    let mut agent = Agent::greeting(&world, "web-1").await;
    let mut expected = Vec::new();
    for pass in 1..=3 {
        world.journal.set(Mood::Full);
        for source in 1..=3 {
            agent.send(source, 0..10, &["a"]).await;
            assert_eq!(later(&agent.answer().await.1), "journal-full");
        }
        expected.push("journal-full".to_owned());
        assert_eq!(agent.throttles, expected);
        let throttles = world.metric("weir_producer_throttles_total");
        assert_eq!(throttles, Some(f64::from(pass)));
        world.clock.advance(Duration::from_secs(60));
    }
    world.journal.set(Mood::Good);
    agent.send(1, 0..10, &["a"]).await;
    assert_eq!(agent.answer().await.1, stored(10));
    assert_eq!(agent.throttles, expected);
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
