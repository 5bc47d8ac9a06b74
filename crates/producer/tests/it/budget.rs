use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::Code;
use weir_producer::ProducerSection;

use crate::harness::{World, collection, context, eventually};
use crate::journal::Mood;
use crate::raw::request;

fn small() -> ProducerSection {
    ProducerSection {
        max_message: Some("100KiB".parse().expect("a size")),
        memory_budget: Some("300KiB".parse().expect("a size")),
        ..ProducerSection::default()
    }
}

#[tokio::test]
async fn what_is_over_the_budget_is_refused_with_a_delay_and_fits_later() {
    let world = World::with(small()).await;
    world.journal.set(Mood::Slow);
    let batch = collection(context("shop"), &["x".repeat(90_000).as_str()]);
    let send = async || world.client().produce_batch(batch.clone()).await;
    let held = async { tokio::join!(send(), send(), send()) };
    let others = async {
        world.journal.asked(3).await;
        let status = world.client().produce_batch(batch.clone()).await.expect_err("there is no room");
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "Memory Budget Exceeded"));
        let details = String::from_utf8_lossy(status.details()).into_owned();
        assert!(details.contains("budget-exhausted") && details.contains("RetryInfo"), "{details}");
        let answer = request(world.http, "POST /produce", &[], vec![b' '; 50_000]).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")));
        world.journal.set(Mood::Good);
    };
    let ((a, b, c), ()) = tokio::join!(held, others);
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(world.metric("weir_producer_budget_used_bytes"), Some(0.0));
    world.client().produce_batch(batch).await.expect("there is room again");
}

#[tokio::test]
async fn the_budget_is_taken_before_the_body_is_read_and_given_back_when_the_client_leaves() {
    let world = World::with(small()).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(world.grpc).await.expect("the door is open");
        let head = "POST /producer.Producer/Produce HTTP/1.1\r\nhost: weir\r\ncontent-type: application/grpc\r\ncontent-length: 90005\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("is taken");
        // The head of a frame of 90,000 bytes, and nothing of the message.
        stream.write_all(&[&[0][..], &90_000_u32.to_be_bytes()].concat()).await.expect("is taken");
        clients.push(stream);
    }
    let used = || world.metric("weir_producer_budget_used_bytes").expect("is exposed");
    eventually("all are reserved", || used() > 270_000.0).await;
    let batch = collection(context("shop"), &["x".repeat(90_000).as_str()]);
    let status = world.client().produce_batch(batch.clone()).await.expect_err("there is no room");
    assert_eq!(status.message(), "Memory Budget Exceeded");
    drop(clients);
    eventually("what the clients held is free", || used() == 0.0).await;
    world.client().produce_batch(batch).await.expect("there is room");
    assert_eq!(world.journal.stored().len(), 1, "nothing of the clients that left is stored");
}

#[tokio::test]
async fn a_connection_outlives_thousands_of_refusals() {
    let world = World::with(small()).await;
    world.journal.set(Mood::Slow);
    let batch = collection(context("shop"), &["x".repeat(90_000).as_str()]);
    let client = world.client();
    let send = async || client.clone().produce_batch(batch.clone()).await;
    let held = async { tokio::join!(send(), send(), send()) };
    let others = async {
        world.journal.asked(3).await;
        for _ in 0..40 {
            // At once, so that bodies are under way while requests are refused.
            for outcome in join_all((0..100).map(|_| send())).await {
                let status = outcome.expect_err("there is no room");
                assert_eq!(status.message(), "Memory Budget Exceeded", "{status:?}");
            }
        }
        world.journal.set(Mood::Good);
    };
    let ((a, b, c), ()) = tokio::join!(held, others);
    assert!(a.is_ok() && b.is_ok() && c.is_ok(), "what was taken is answered over the same connection");
}

#[tokio::test]
async fn a_batch_that_outlives_its_client_stays_in_the_budget() {
    let world = World::with(small()).await;
    world.journal.set(Mood::Slow);
    let mut named = tonic::Request::new(collection(context("shop"), &["x".repeat(90_000).as_str()]));
    named.metadata_mut().insert("weir-batch-id", "1".parse().expect("is ASCII"));
    let mut client = world.client();
    tokio::select! {
        _ = client.produce_batch(named) => panic!("the journal is slow"),
        () = world.journal.asked(1) => {}
    }
    drop(client);
    let used = || world.metric("weir_producer_budget_used_bytes").expect("is exposed");
    // The connection is closed in the time that other requests take.
    for _ in 0..20 {
        assert_eq!(request(world.http, "POST /api/v1/apps/shop/events", &[], "").await.status, 200);
        assert!(used() > 90_000.0);
    }
    world.journal.set(Mood::Good);
    eventually("it is stored", || world.journal.stored().len() == 1 && used() == 0.0).await;
}
