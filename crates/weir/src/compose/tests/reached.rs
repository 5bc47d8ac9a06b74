//! A weir that other machines reach.

use weir_auth::access_key::AccessKey;
use weir_server::api::Streams;
use weir_testkit::Authority;

use super::*;
use crate::client::{ClientArgs, ClientError};

/// The arguments of a command, as people give them.
fn arguments(given: &[&str]) -> ClientArgs {
    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        client: ClientArgs,
    }
    let command = <Command as clap::Parser>::try_parse_from([&["weir"], given].concat());
    command.expect("they are legal").client
}

async fn streams(given: &[&str]) -> Result<Streams, ClientError> {
    let client = Client::of(&arguments(given)).expect("they fit");
    client.get(&["streams"], &()).await
}

fn code(answer: Result<Streams, ClientError>) -> String {
    match answer {
        Err(ClientError::Refused(refusal)) => refusal.detail.code.clone(),
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_asked_by_tls_and_with_a_token() {
    let authority = Authority::new();
    authority.issue("own", "127.0.0.1");
    let [cert, key] = ["own.pem", "own.key"].map(|file| authority.path(file).display().to_string());
    let ca = authority.path("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("there is space");
    // For the life of the test: settings are given as they are written.
    let [cert, key]: [&'static str; 2] = [cert, key].map(|path| &*path.leak());
    let settings = [
        ("listen.allow_public", "true"),
        ("listen.http", "0.0.0.0:0"),
        ("listen.tls.cert_file", cert),
        ("listen.tls.key_file", key),
    ];
    let directory = tempfile::tempdir().expect("there is space");
    let world = World::with(directory, Arc::new(SystemClock), &settings).await;
    let port = world.running.addresses.http.port();
    let (by_tls, plain) = (format!("https://127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"));
    let token = world.directory.path().join("data/operator.token").display().to_string();
    let ca = ca.display().to_string();
    streams(&["--server", &by_tls, "--ca-file", &ca, "--token-file", &token]).await.expect("all of it fits");
    assert_eq!(code(streams(&["--server", &by_tls, "--ca-file", &ca]).await), "unauthorized");
    // From this machine no TLS is needed, and a token all the same.
    streams(&["--server", &plain, "--token-file", &token]).await.expect("nobody listens in");
    assert_eq!(code(streams(&["--server", &plain]).await), "unauthorized");
    // Nobody sends in the name of an app that was not made.
    let refused =
        world.client.post_bytes::<serde_json::Value>(&["apps", "shop", "events"], &[], "line".into()).await;
    match refused {
        Err(ClientError::Refused(refusal)) => assert_eq!(refusal.detail.code, "unknown-app"),
        other => unreachable!("{other:?}"),
    }
    assert_eq!(world.drain().await.1, ExitCode::Good);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_of_its_own_it_shows_one_of_the_instance() {
    let settings = [("listen.allow_public", "true"), ("listen.http", "0.0.0.0:0")];
    let directory = tempfile::tempdir().expect("there is space");
    let world = World::with(directory, Arc::new(SystemClock), &settings).await;
    let by_tls = format!("https://127.0.0.1:{}", world.running.addresses.http.port());
    let token = world.directory.path().join("data/operator.token").display().to_string();
    let pin = world.running.fleet.rotation_status().root.to_string();
    streams(&["--server", &by_tls, "--ca-pin", &pin, "--token-file", &token])
        .await
        .expect("it is known by its pin");
    let other = format!("sha256:{}", "0".repeat(64));
    let refused = streams(&["--server", &by_tls, "--ca-pin", &other, "--token-file", &token]).await;
    assert!(matches!(refused, Err(ClientError::Untrusted { .. })), "{refused:?}");
    assert_eq!(world.drain().await.1, ExitCode::Good);
}

/// Where nothing else is said nodes come to where agents do.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_told_by_which_address_agents_come() {
    let settings = [("producer.ingest_listen", "127.0.0.2:0"), ("fleet.enrol_listen", "127.0.0.3:0")];
    let directory = tempfile::tempdir().expect("there is space");
    let world = World::with(directory, Arc::new(SystemClock), &settings).await;
    let key: AccessKey = world.key(false).await.reveal().parse().expect("it is one");
    let port = world.running.addresses.enrolment.port();
    assert_eq!(key.enrol, [format!("127.0.0.2:{port}")]);
    assert_eq!(world.drain().await.1, ExitCode::Good);
}
