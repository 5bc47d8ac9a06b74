//! Three brokers of which one dies, then the one that leads them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_services::{Home, Kafka};
use weir_system_tests::ledger::Ledger;
use weir_system_tests::load::Client;
use weir_system_tests::reckoning::settle_documents;
use weir_system_tests::wait::until;

use crate::world::{PATIENCE, World, start};

const BROKERS: usize = 3;
const CLIENTS: usize = 4;

/// How many events are acknowledged between one thing and the next.
const STRETCH: usize = 1_000;

/// Longer than an answer takes that is on its way.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// How long clients are seen to get no answers.
const STALL: Duration = Duration::from_secs(5);

async fn more_is_acknowledged(ledger: &Ledger) {
    let enough = ledger.acknowledged() + STRETCH;
    until("more is acknowledged", PATIENCE, async || (ledger.acknowledged() >= enough).then_some(())).await;
}

/// Ends a broker as a crash does, sees that the others go on without it, and starts it again.
async fn lose_and_restart(kafka: &mut Kafka, broker: usize, ledger: &Ledger) {
    eprintln!("broker {broker} dies after {} events", ledger.acknowledged());
    kafka.kill(broker).expect("it runs");
    more_is_acknowledged(ledger).await;
    tokio::task::block_in_place(|| kafka.restart(broker)).expect("it starts again");
    more_is_acknowledged(ledger).await;
}

/// Two of three that die are one too many for `acks=all`: nothing is acknowledged until one is there again.
async fn lose_too_many(kafka: &mut Kafka, brokers: [usize; 2], ledger: &Ledger) {
    for broker in brokers {
        kafka.kill(broker).expect("it runs");
    }
    // What was stored just before is still being answered.
    tokio::time::sleep(ANSWERED_WITHIN).await;
    let before = ledger.acknowledged();
    tokio::time::sleep(STALL).await;
    assert_eq!(ledger.acknowledged(), before, "acknowledged by one broker of three");
    eprintln!("nothing was acknowledged after {before} events");
    tokio::task::block_in_place(|| brokers.map(|broker| kafka.restart(broker).expect("it starts again")));
    more_is_acknowledged(ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_die_under_load_lose_and_repeat_nothing() {
    let directory = tempfile::tempdir().expect("there is space");
    let mut kafka = Kafka::start(&Home::of_the_tree(), directory.path(), BROKERS).expect("it starts");
    let world = World::around("brokers", kafka.addresses());
    let producer = world.producer().await;
    let consumer = world.consumer().await;
    let ledger = Arc::new(Ledger::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (name, app) = (format!("client{number}"), world.app(number));
            let client = Client { name, app, batch: 20, pause: Duration::from_millis(20) };
            tokio::spawn(client.run(producer.addresses.grpc, Arc::clone(&ledger)))
        })
        .collect();
    more_is_acknowledged(&ledger).await;
    let controller = kafka.controller().expect("one leads");
    let other = (controller + 1) % BROKERS;
    lose_and_restart(&mut kafka, other, &ledger).await;
    let controller = kafka.controller().expect("one leads");
    lose_and_restart(&mut kafka, controller, &ledger).await;
    assert_ne!(kafka.controller(), Some(controller), "another leads since");
    lose_too_many(&mut kafka, [0, 1], &ledger).await;
    world.grows().await;
    ledger.stop();
    for client in clients {
        client.await.expect("it sends");
    }
    world.caught_up().await;
    settle_documents(&world.documents(), &ledger).await;
    assert!(consumer.terminate().await.success());
    assert!(producer.terminate().await.success());
}

/// What is not acknowledged is still with the client, and what is not committed is delivered again: nothing is a
/// reason to wait for brokers that do not answer, nor to call the end a failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_end_well_while_no_broker_answers() {
    let directory = tempfile::tempdir().expect("there is space");
    let mut kafka = Kafka::start(&Home::of_the_tree(), directory.path(), 1).expect("it starts");
    let world = World::around("silence", kafka.addresses());
    let setup = |role| {
        let setup = world.setup(role).with("drain.stop_intake", "8s");
        setup.with("drain.commit", "5s").with("drain.close", "8s")
    };
    let ledger = Arc::new(Ledger::default());
    for (round, hangs) in [true, false].into_iter().enumerate() {
        let producer = start("producer", &setup("producer")).await;
        let consumer = start("consumer", &setup("consumer")).await;
        let client = |number, topic| {
            let (name, app) = (format!("client{number}-{round}"), world.app(topic));
            let client = Client { name, app, batch: 10, pause: Duration::from_millis(5) };
            tokio::spawn(client.run(producer.addresses.grpc, Arc::clone(&ledger)))
        };
        let old = client(0, 0);
        world.grows().await;
        if hangs { kafka.pause(0) } else { kafka.kill(0) }.expect("it runs");
        // Wants a topic that nobody can make now.
        let new = client(1, 1 + round);
        tokio::time::sleep(ANSWERED_WITHIN).await;
        for (role, process) in [("producer", producer), ("consumer", consumer)] {
            let began = Instant::now();
            let status = process.terminate().await;
            eprintln!("the {role} ended after {:?} with {status}", began.elapsed());
            assert!(status.success(), "the {role} ended with {status}");
        }
        new.abort();
        old.abort();
        if hangs { kafka.resume(0) } else { tokio::task::block_in_place(|| kafka.restart(0)) }
            .expect("it goes on");
    }
    let (producer, consumer) = (world.producer().await, world.consumer().await);
    world.caught_up().await;
    settle_documents(&world.documents(), &ledger).await;
    assert!(consumer.terminate().await.success());
    assert!(producer.terminate().await.success());
}
