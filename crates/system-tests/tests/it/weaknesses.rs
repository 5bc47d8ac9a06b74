//! What barito-flow gets wrong and no other test looks at under the real binary; `docs/barito-flow-proofs.md` says
//! what shows the rest.

use std::net::TcpListener;

use prost::Message as _;
use weir_system_tests::process::Setup;

use crate::kafka::Message;
use crate::world::{World, start, timber};

const RULES: &str = r#"{"default": {"JsonPathRules": [{"Name": "MESSAGE", "Path": "^\\.message$"}]}}"#;

/// There the process ends at its first document.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_of_the_environment_are_applied() {
    let world = World::shared("redacted");
    let app = world.app(0);
    let topic = format!("{app}_logs");
    world.outsider.create_topic(&topic).await;
    let mut setup = world.setup("consumer");
    setup.settings.push(("REDACTOR_RULES_MAP".to_owned(), RULES.to_owned()));
    let consumer = start("consumer", &setup).await;
    let record = timber(&app, "secret").encode_to_vec();
    world.outsider.send(&topic, &[Message { value: Some(record), ..Message::default() }]);
    world.grows().await;
    let mut messages = Vec::new();
    world.documents().each(|hit| messages.push(hit["_source"]["message"].clone())).await;
    assert_eq!(messages, ["[MESSAGE REDACTED]"]);
    assert!(consumer.terminate().await.success());
}

/// Panics unless the role ends by itself, with a failure that says this.
fn check(role: &str, setup: &Setup, says: &str) {
    let outcome = setup.run(&[role]);
    assert_eq!(outcome.status.code(), Some(1), "{role}: {}", outcome.err);
    assert!(outcome.err.contains(says), "{role}: {}", outcome.err);
}

/// There it lives on and does nothing.
#[test]
fn a_role_that_can_not_work_ends() {
    let directory = tempfile::tempdir().expect("there is space");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let setup = || {
        Setup::new(directory.path())
            .with("kafka.brokers", &address)
            .with("kafka.request_timeout", "2s")
            .with("kafka.start_retries", "1")
            .with("elasticsearch.urls", &format!("http://{address}"))
    };
    let in_use = format!("address in use: `{address}`");
    check("producer", &setup().with("producer.grpc_listen", &address), &in_use);
    check("producer", &setup().with("listen.ops", &address), &in_use);
    check("consumer", &setup().with("listen.ops", &address), &in_use);
    // Connections are accepted there, and nothing is said.
    let mute = format!("no broker of `{address}` answered");
    check("producer", &setup(), &mute);
    check("consumer", &setup(), &mute);
}
