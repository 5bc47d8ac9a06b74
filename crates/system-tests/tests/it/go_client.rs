//! A client in Go, generated from the `.proto` file and built on grpc-go as barito-router is, talks to the producer.
//!
//! Its code is in `clients/go`. What `protoc` makes of `proto/producer.proto` is committed there, so that a Go
//! compiler is enough.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use weir_services::{Home, Kafka};
use weir_system_tests::cli::Running;
use weir_system_tests::process::Weir;
use weir_system_tests::wait::until_seldom;

use crate::world::{PATIENCE, World, start};

/// What came of one call.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Outcome {
    topic: String,
    code: u32,
    message: String,
}

/// The program, built.
struct Client(PathBuf);

const OK: u32 = 0;
const RESOURCE_EXHAUSTED: u32 = 8;
const FAILED_PRECONDITION: u32 = 9;
const UNAVAILABLE: u32 = 14;

impl Client {
    fn build(directory: &Path) -> Self {
        let program = directory.join("client");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/go");
        let mut command = Command::new("go");
        command.args(["build", "-mod=readonly", "-p=2", "-o"]).arg(&program).arg(".");
        command.current_dir(source).env("GOFLAGS", "").env("CGO_ENABLED", "0").env("GOWORK", "off");
        let built = command.status().expect("Go is there: `scripts/setup test` installs it");
        assert!(built.success(), "the client can not be built");
        Self(program)
    }

    fn call(&self, producer: &Weir, topic: &str, arguments: &[&str]) -> Outcome {
        let address = producer.addresses.grpc.to_string();
        let mut command = Command::new(&self.0);
        command.args(["-address", &address, "-topic", topic]).args(arguments);
        Running::start(command, b"").outcome().json().remove(0)
    }
}

/// Waits until a call succeeds: on a busy machine a broker may take longer than this producer waits for it.
async fn succeeds(client: &Client, producer: &Weir, topic: &str) {
    let is_taken = async || (client.call(producer, topic, &[]) == taken(topic)).then_some(());
    until_seldom("an event is taken", PATIENCE, is_taken).await;
}

fn taken(app: &str) -> Outcome {
    Outcome { topic: format!("{app}_logs"), code: OK, message: String::new() }
}

fn refused(code: u32, message: &str) -> Outcome {
    Outcome { topic: String::new(), code, message: message.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_go_client_is_answered_as_barito_flow_answers() {
    let world = World::shared("golang");
    let producer = world.producer().await;
    let directory = tempfile::tempdir().expect("there is space");
    let client = Client::build(directory.path());
    let call = |topic: &str, arguments: &[&str]| client.call(&producer, topic, arguments);
    let (app, other) = (world.app(0), world.app(1));
    assert_eq!(call(&app, &["-tps", "10"]), taken(&app));
    assert_eq!(call(&app, &["-tps", "10", "-batch", "50"]), taken(&app));
    // Larger than any record of Kafka may be.
    assert_eq!(call(&other, &["-tps", "10", "-batch", "50", "-bytes", "100000"]), taken(&other));
    // Ten seconds' worth of ten events a second are all that an app may send at once.
    let limited = call(&app, &["-tps", "10", "-batch", "100"]);
    assert_eq!(limited, refused(RESOURCE_EXHAUSTED, "Bandwidth Limit Exceeded"));
    let large = call(&app, &["-tps", "10", "-bytes", "20000001"]);
    assert_eq!(large.code, RESOURCE_EXHAUSTED);
    assert!(large.message.contains("larger than max"), "{large:?}");
    assert!(producer.terminate().await.success());
}

/// While Kafka is away: that this passes, or, where barito-flow's codes are asked for, what it said of a record that
/// could not be stored and of a topic that could not be made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_go_client_is_told_of_a_kafka_that_is_away() {
    let directory = tempfile::tempdir().expect("there is space");
    let mut kafka = Kafka::start(&Home::of_the_tree(), directory.path(), 1).expect("it starts");
    let world = World::around("outage", kafka.addresses());
    let client = Client::build(directory.path());
    let settings = |process: &str| {
        let setup = world.setup(process).with("kafka.append_timeout", "3s");
        setup.with("kafka.request_timeout", "3s")
    };
    let weir = start("producer", &settings("weir")).await;
    let barito = start("producer", &settings("barito").with("producer.compat", "barito")).await;
    let (app, new) = (world.app(0), world.app(1));
    for producer in [&weir, &barito] {
        succeeds(&client, producer, &app).await;
    }

    kafka.kill(0).expect("it runs");
    for (producer, topic, code) in
        [(&weir, &app, UNAVAILABLE), (&barito, &app, FAILED_PRECONDITION), (&barito, &new, UNAVAILABLE)]
    {
        let outcome = client.call(producer, topic, &[]);
        assert_eq!((outcome.topic.as_str(), outcome.code), ("", code), "{outcome:?}");
        assert!(!outcome.message.is_empty());
    }

    tokio::task::block_in_place(|| kafka.restart(0)).expect("it starts again");
    for mut producer in [weir, barito] {
        producer.ready().await;
        succeeds(&client, &producer, &app).await;
        assert!(producer.terminate().await.success());
    }
}
