//! A client in Go, generated from the `.proto` file and built on grpc-go as barito-router is, talks to the producer.
//!
//! Its code is in `clients/go`. What `protoc` makes of `proto/producer.proto` is committed there, so that a Go
//! compiler is enough.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use weir_system_tests::cli::Running;
use weir_system_tests::process::Weir;

use crate::world::World;

/// What came of one call.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Outcome {
    topic: String,
    code: u32,
    message: String,
}

/// The program, built.
struct Client {
    program: PathBuf,
    address: String,
}

const OK: u32 = 0;
const RESOURCE_EXHAUSTED: u32 = 8;

impl Client {
    fn build(directory: &Path, producer: &Weir) -> Self {
        let program = directory.join("client");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/go");
        let mut command = Command::new("go");
        command.args(["build", "-mod=readonly", "-p=2", "-o"]).arg(&program).arg(".");
        command.current_dir(source).env("GOFLAGS", "").env("CGO_ENABLED", "0").env("GOWORK", "off");
        let built = command.status().expect("Go is there: `scripts/setup test` installs it");
        assert!(built.success(), "the client can not be built");
        Self { program, address: producer.addresses.grpc.to_string() }
    }

    fn call(&self, topic: &str, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(&self.program);
        command.args(["-address", &self.address, "-topic", topic]).args(arguments);
        Running::start(command, b"").outcome().json().remove(0)
    }
}

fn refused(code: u32, message: &str) -> Outcome {
    Outcome { topic: String::new(), code, message: message.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_go_client_is_answered_as_barito_flow_answers() {
    let world = World::shared("golang");
    let producer = world.producer().await;
    let directory = tempfile::tempdir().expect("there is space");
    let client = Client::build(directory.path(), &producer);
    let app = world.app(0);
    let taken = Outcome { topic: format!("{app}_logs"), code: OK, message: String::new() };
    for arguments in [&["-tps", "10"][..], &["-tps", "10", "-batch", "50"]] {
        assert_eq!(client.call(&app, arguments), taken);
    }
    // Larger than any record of Kafka may be.
    let several = client.call(&world.app(1), &["-tps", "10", "-batch", "50", "-bytes", "100000"]);
    assert_eq!(several, Outcome { topic: format!("{}_logs", world.app(1)), ..taken });
    // Ten seconds' worth of ten events a second are all that an app may send at once.
    let limited = client.call(&app, &["-tps", "10", "-batch", "100"]);
    assert_eq!(limited, refused(RESOURCE_EXHAUSTED, "Bandwidth Limit Exceeded"));
    let large = client.call(&app, &["-tps", "10", "-bytes", "20000001"]);
    assert_eq!(large.code, RESOURCE_EXHAUSTED);
    assert!(large.message.contains("larger than max"), "{large:?}");
    assert!(producer.terminate().await.success());
}
