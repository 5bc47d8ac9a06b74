mod server;

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use weir_auth::InstanceId;
use weir_auth::pki::{Authority as Instance, Certificate, Identity, Pin, PrivateKey};
use weir_foundation::clock::{Clock, ManualClock, SystemClock};
use weir_foundation::settings::Environment;
use weir_testkit::Authority;

use self::server::{Server, config};
use super::*;
use crate::console;
use crate::demo::{self, Bounds, Plan};

const TOKEN: &str = "weiro1_secret";

/// A client of `server` with the environment.
fn client<const N: usize>(server: &str, variables: [(&str, &str); N]) -> Result<Client> {
    let mut environment = Environment::from(variables);
    environment.set("WEIR_SERVER", server);
    let directory = "directory-that-is-not-there".into();
    Client::with(Access::of(&ClientArgs::default(), &Surroundings { environment, directory })?)
}

async fn ask(client: &Client) -> Result<Value, ClientError> {
    client.get(&["streams"], &()).await
}

/// What is printed, whatever the address of the server is.
fn printed(error: impl Into<anyhow::Error>, server: &Server) -> String {
    console::printed(&error.into()).replace(&server.address.to_string(), "ADDRESS")
}

/// What is printed about a server that is not asked.
async fn refused<const N: usize>(server: &Server, variables: [(&str, &str); N]) -> String {
    let client = client(&server.url("https"), variables).expect("is good");
    let error = ask(&client).await.expect_err("is not trusted");
    assert!(!error.leaves_open(), "{error}");
    assert_eq!(error.retry_after(true), None, "{error}");
    assert_eq!(server.seen(), [], "{error}");
    printed(error, server)
}

#[test]
fn parts_of_a_path_are_quoted() {
    let check = |server: &str, path: &[&str], url: &str| {
        assert_eq!(client(server, []).expect("is good").url(path).as_str(), url);
    };
    check("http://127.0.0.1:8080", &["streams"], "http://127.0.0.1:8080/api/v1/streams");
    check("http://weir/base/", &["dead", "a/b?c"], "http://weir/base/api/v1/dead/a%2Fb%3Fc");
}

#[tokio::test]
async fn questions_are_these() {
    let server = Server::plain().await;
    let client = client(&server.url("http"), []).expect("is good");
    let query = [("prefix", "shop"), ("q", "level:error \"timed out\" & more")];
    client.get::<Value>(&["search"], &query).await.expect("is answered");
    client.post::<Value>(&["dead", "replay"], &json!({ "all": true })).await.expect("is answered");
    client.delete(&["groups", "a/b"]).await.expect("is answered");
    let headers = [("content-type", "text/plain"), ("weir-batch-id", "send-1")];
    let lines = Bytes::from_static(b"one\ntwo\n");
    client.post_bytes::<Value>(&["apps", "shop", "events"], &headers, lines).await.expect("is answered");
    let seen = server.seen();
    let lines: Vec<&str> = seen.iter().map(|seen| seen.line.as_str()).collect();
    let expected = [
        "GET /api/v1/search?prefix=shop&q=level%3Aerror+%22timed+out%22+%26+more HTTP/1.1",
        "POST /api/v1/dead/replay HTTP/1.1",
        "DELETE /api/v1/groups/a%2Fb HTTP/1.1",
        "POST /api/v1/apps/shop/events HTTP/1.1",
    ];
    assert_eq!(lines, expected);
    let header =
        |at: usize, name: &str| seen[at].headers.get(name).map(|value| value.to_str().expect("is text"));
    let agent = concat!("weir/", env!("CARGO_PKG_VERSION"));
    for seen in &seen {
        assert_eq!(
            (seen.headers["user-agent"].to_str().ok(), seen.headers.get("authorization")),
            (Some(agent), None)
        );
        assert_eq!(seen.connection, 1, "the connection is kept");
    }
    assert_eq!(
        (header(1, "content-type"), &*seen[1].body),
        (Some("application/json"), &b"{\"all\":true}"[..])
    );
    assert_eq!((header(3, "content-type"), header(3, "weir-batch-id")), (Some("text/plain"), Some("send-1")));
    assert_eq!(&*seen[3].body, b"one\ntwo\n");
}

#[tokio::test]
async fn a_question_that_is_no_url_is_not_asked() {
    let server = Server::plain().await;
    let client = client(&server.url("http"), []).expect("is good");
    let query = [("q", "x".repeat(70_000))];
    let error = client.get::<Value>(&["search"], &query).await.expect_err("is too long");
    assert_eq!((error.leaves_open(), error.retry_after(true)), (false, None));
    assert_eq!(printed(error, &server), "error: the question can not be put into a request: uri too long\n");
}

#[tokio::test]
async fn an_answer_comes_piece_by_piece() {
    let authority = Authority::new();
    let ca = authority.path("ca.pem");
    let ca = ca.to_str().expect("is text");
    for alpn in [&["h2"][..], &["http/1.1"]] {
        let server = Server::tls(config(authority.sign("127.0.0.1"), alpn)).await;
        let client = client(&server.url("https"), [("WEIR_CA_FILE", ca)]).expect("is good");
        let give = server.pieces();
        let mut pieces = client.stream(&["pieces"], &()).await.expect("is answered");
        for piece in ["data: one\n\n", "data: two\n\n"] {
            give.send(Ok(piece)).await.expect("is asked for");
            assert_eq!(pieces.next().await.expect("goes on").expect("is whole"), piece, "{alpn:?}");
        }
        give.send(Err(std::io::Error::other("a test"))).await.expect("is asked for");
        let error = pieces.next().await.expect("goes on").expect_err("is broken off");
        assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
        assert_eq!((error.leaves_open(), error.retry_after(true)), (true, Some(Duration::ZERO)));
        let text = error.to_string().replace(&server.address.to_string(), "ADDRESS");
        assert_eq!(text, "the answer of weir at https://ADDRESS/ broke off");
    }
}

#[tokio::test]
async fn a_server_that_the_file_vouches_for_is_asked() {
    let authority = Authority::new();
    let both = authority.path("both.pem");
    std::fs::write(&both, Authority::new().pem() + &authority.pem()).expect("there is space");
    let check = async |ca: &std::path::Path, alpn: &[&str], version: &str| {
        let server = Server::tls(config(authority.sign("127.0.0.1"), alpn)).await;
        let ca = ca.to_str().expect("is text");
        let client = client(&server.url("https"), [("WEIR_CA_FILE", ca)]).expect("is good");
        ask(&client).await.expect("is answered");
        ask(&client).await.expect("is answered");
        let line = format!("GET /api/v1/streams {version}");
        let seen = server.seen();
        assert_eq!(
            seen.iter().map(|seen| (&*seen.line, seen.connection)).collect::<Vec<_>>(),
            [(&*line, 1), (&*line, 1)]
        );
    };
    check(&authority.path("ca.pem"), &[], "HTTP/1.1").await;
    check(&both, &["http/1.1"], "HTTP/1.1").await;
    check(&both, &["h2", "http/1.1"], "HTTP/2.0").await;
}

#[tokio::test]
async fn certificates_that_do_not_fit_are_named_with_what_to_do() {
    let authority = Authority::new();
    let ca = authority.path("ca.pem");
    let ca = ca.to_str().expect("is text");
    let good = Server::tls(config(authority.sign("127.0.0.1"), &[])).await;
    insta::assert_snapshot!(refused(&good, []).await, @r"
    error: https://ADDRESS/ can not be taken for weir: nobody who is trusted vouches for its certificate
    next: name the certificate of its CA by `--ca-file FILE`, or the pin of its root by `--ca-pin sha256:…`
    ");
    let other = Authority::new();
    let other = other.path("ca.pem");
    let other = other.to_str().expect("is text");
    insta::assert_snapshot!(refused(&good, [("WEIR_CA_FILE", other)]).await.replace(other, "FILE"), @r"
    error: https://ADDRESS/ can not be taken for weir: nobody who is trusted vouches for its certificate
    next: nobody in `FILE` vouches for it: take the certificate of its CA, or the pin of its root by `--ca-pin sha256:…`
    ");
    let named = Server::tls(config(authority.sign("weir.example"), &[])).await;
    insta::assert_snapshot!(refused(&named, [("WEIR_CA_FILE", ca)]).await, @r#"
    error: https://ADDRESS/ can not be taken for weir: certificate not valid for name "127.0.0.1"; certificate is only valid for DnsName("weir.example")
    next: ask it by a name that is in its certificate, or know it by the pin of its root: `--ca-pin sha256:…`
    "#);
    let expired = Server::tls(config(authority.sign_expired("127.0.0.1"), &[])).await;
    let text = refused(&expired, [("WEIR_CA_FILE", ca)]).await;
    assert!(text.contains("its certificate ended at "), "{text}");
    assert!(
        text.ends_with("next: renew it where weir runs, unless the clock of this machine is wrong\n"),
        "{text}"
    );
}

#[tokio::test]
async fn somebody_who_speaks_something_else_is_named() {
    let plain = Server::plain().await;
    insta::assert_snapshot!(refused(&plain, []).await, @r"
    error: https://ADDRESS/ can not be taken for weir: no TLS is spoken there
    next: if no TLS is meant to be there, write `http://…`
    ");
    let tls = Server::tls(config(Authority::new().sign("127.0.0.1"), &[])).await;
    let client = client(&tls.url("http"), []).expect("is good");
    let error = ask(&client).await.expect_err("is no HTTP");
    assert_eq!(error.retry_after(false), None, "who answers so will not change");
    insta::assert_snapshot!(printed(error, &tls), @r"
    error: the answer of weir at http://ADDRESS/ broke off: client error (SendRequest): invalid HTTP version parsed
    next: if TLS is spoken there, write `https://ADDRESS`
    ");
    let address = plain.address;
    drop(plain);
    let client =
        Client::new(&ServerArgs { server: Some(format!("http://{address}").parse().expect("is a URL")) });
    let error = ask(&client.expect("is good")).await.expect_err("is gone");
    let text = error.to_string();
    assert_eq!(text, format!("no connection to weir at http://{address}/"));
}

const DAY: Duration = Duration::from_hours(24);

/// An instance of weir, and the pin of its root.
fn instance(now: SystemTime) -> (Instance, Pin) {
    let id = InstanceId::new("one").expect("is legal");
    let root = Instance::root(&id, now, 3650 * DAY).expect("is issued");
    let pin = root.certificate().pin();
    (root.intermediate(now, 90 * DAY).expect("is issued"), pin)
}

async fn server_of(identity: &Identity) -> Server {
    let clock = std::sync::Arc::new(SystemClock);
    Server::tls(weir_auth::tls::server(identity, clock).expect("is good")).await
}

#[tokio::test]
async fn a_server_of_the_instance_is_known_by_the_pin_whatever_its_name() {
    let now = SystemClock.now();
    let (intermediate, pin) = instance(now);
    let identity = intermediate.issue_server(&["weir.example".to_owned()], now, DAY).expect("is issued");
    let server = server_of(&identity).await;
    let client = client(&server.url("https"), [("WEIR_CA_PIN", &pin.to_string())]).expect("is good");
    ask(&client).await.expect("is answered");
    assert_eq!(server.seen()[0].line, "GET /api/v1/streams HTTP/2.0");
}

#[tokio::test]
async fn others_do_not_pass_for_the_instance_by_its_pin() {
    let now = SystemClock.now();
    let (intermediate, pin) = instance(now);
    let pin = pin.to_string();
    let mask = |text: String| text.replace(&pin, "PIN");
    let names = ["127.0.0.1".to_owned()];
    let (foreign, _) = instance(now);
    let foreign = foreign.issue_server(&names, now, DAY).expect("is issued");
    let server = server_of(&foreign).await;
    insta::assert_snapshot!(mask(refused(&server, [("WEIR_CA_PIN", &pin)]).await), @r"
    error: https://ADDRESS/ can not be taken for weir: no certificate of the server has the pin
    next: it shows no root with PIN: if that is the pin of this weir's root, somebody else answers in its place; what has a certificate of another CA is known by `--ca-file FILE`
    ");
    // The certificates of the instance are no secret.
    let chain = foreign.chain().iter().chain(intermediate.chain()).cloned().collect::<Vec<Certificate>>();
    let key = PrivateKey::from_pkcs8(foreign.key().pkcs8()).expect("is a key");
    let server = server_of(&Identity::new(chain, key).expect("fits")).await;
    insta::assert_snapshot!(mask(refused(&server, [("WEIR_CA_PIN", &pin)]).await), @r"
    error: https://ADDRESS/ can not be taken for weir: nobody who is trusted vouches for its certificate
    next: it shows no root with PIN: if that is the pin of this weir's root, somebody else answers in its place; what has a certificate of another CA is known by `--ca-file FILE`
    ");
    let server = Server::tls(config(Authority::new().sign("127.0.0.1"), &[])).await;
    insta::assert_snapshot!(mask(refused(&server, [("WEIR_CA_PIN", &pin)]).await), @r"
    error: https://ADDRESS/ can not be taken for weir: no certificate of the server has the pin
    next: it shows no root with PIN: if that is the pin of this weir's root, somebody else answers in its place; what has a certificate of another CA is known by `--ca-file FILE`
    ");
}

#[tokio::test]
async fn a_pin_does_not_make_up_for_the_time() {
    let then = SystemClock.now() - 10 * DAY;
    let (intermediate, pin) = instance(then);
    let identity = intermediate.issue_server(&["127.0.0.1".to_owned()], then, DAY).expect("is issued");
    let text = refused(&server_of(&identity).await, [("WEIR_CA_PIN", &pin.to_string())]).await;
    assert!(text.contains("its certificate ended at "), "{text}");
}

#[tokio::test]
async fn the_token_is_shown_with_every_question() {
    let authority = Authority::new();
    let ca = authority.path("ca.pem");
    let ca = ca.to_str().expect("is text");
    let plain = Server::plain().await;
    let tls = Server::tls(config(authority.sign("127.0.0.1"), &[])).await;
    for (server, scheme) in [(&plain, "http"), (&tls, "https")] {
        let client =
            client(&server.url(scheme), [("WEIR_TOKEN", TOKEN), ("WEIR_CA_FILE", ca)]).expect("is good");
        ask(&client).await.expect("is answered");
        client.post::<Value>(&["dead", "purge"], &json!({})).await.expect("is answered");
        client
            .post_bytes::<Value>(&["apps", "shop", "events"], &[], Bytes::new())
            .await
            .expect("is answered");
        client.delete(&["groups", "a"]).await.expect("is answered");
        drop(client.stream(&["streams"], &()).await.expect("is answered"));
        let seen = server.seen();
        assert_eq!(seen.len(), 5);
        for seen in seen {
            assert_eq!(seen.headers["authorization"], format!("Bearer {TOKEN}"), "{}", seen.line);
        }
        assert!(!format!("{client:#?}").contains(TOKEN));
    }
}

#[tokio::test]
async fn a_token_that_is_wanted_is_asked_for() {
    let server = Server::plain().await;
    let asked = async |client: Client| {
        let error = client.get::<Value>(&["secret"], &()).await.expect_err("is refused");
        assert_eq!(error.retry_after(true), None);
        assert!(!format!("{error:#?}").contains(TOKEN));
        printed(error, &server)
    };
    insta::assert_snapshot!(asked(client(&server.url("http"), []).expect("is good")).await, @r"
    error: a token is needed
    next: show a token: set `WEIR_TOKEN`, or name its file by `--token-file FILE`; that of the first operator is in `operator.token` of weir's data directory, if it was not printed by `weir server init`
    ");
    let client = client(&server.url("http"), [("WEIR_TOKEN", TOKEN)]).expect("is good");
    insta::assert_snapshot!(asked(client).await, @r"
    error: a token is needed
    next: the token of `WEIR_TOKEN` is none that it knows, or no longer
    ");
}

#[tokio::test]
async fn a_token_goes_nowhere_else() {
    let (server, other) = (Server::plain().await, Server::plain().await);
    server.moved_to(&other.url("http"));
    let client = client(&server.url("http"), [("WEIR_TOKEN", TOKEN)]).expect("is good");
    let error = client.get::<Value>(&["moved"], &()).await.expect_err("is elsewhere");
    let text = printed(error, &server).replace(&other.address.to_string(), "OTHER");
    insta::assert_snapshot!(text, @r"
    error: 308 Permanent Redirect: it is at http://OTHER
    next: if that is weir, name it by `--server URL`
    ");
    assert_eq!(other.seen(), []);
}

fn plan(door: String) -> Plan {
    Plan { door, app: "shop".to_owned(), rate: 100, seed: 1, bounds: Bounds::After(Duration::ZERO) }
}

#[tokio::test]
async fn a_grpc_door_is_known_as_weir_is_and_shown_the_token() {
    let now = SystemClock.now();
    let (intermediate, pin) = instance(now);
    let identity = intermediate.issue_server(&["weir.example".to_owned()], now, DAY).expect("is issued");
    let door = server_of(&identity).await;
    let variables = [("WEIR_CA_PIN", &*pin.to_string()), ("WEIR_TOKEN", TOKEN)];
    let of_instance = client(&door.url("https"), variables).expect("is good");
    let send = async |client: &Client| {
        let clock = ManualClock::new(now);
        let plan = Plan { bounds: Bounds::After(Duration::from_secs(1)), ..plan(door.url("https")) };
        let time = async {
            clock.sleepers(1).await;
            clock.advance(Duration::from_secs(1));
        };
        tokio::join!(demo::run_by(client, plan, &clock, std::future::pending()), time).0
    };
    assert_eq!(send(&of_instance).await.expect("is taken").acknowledged, 100);
    let seen = door.seen();
    assert_eq!(seen[0].line, "POST /producer.Producer/ProduceBatch HTTP/2.0");
    assert_eq!(seen[0].headers["authorization"], format!("Bearer {TOKEN}"));
    let nobody = client(&door.url("https"), [("WEIR_CA_PIN", &*pin.to_string())]).expect("is good");
    insta::assert_snapshot!(printed(send(&nobody).await.expect_err("shows no token"), &door), @r"
    error: the door refused a batch: The request does not have valid authentication credentials: 
    next: show a token: set `WEIR_TOKEN`, or name its file by `--token-file FILE`; that of the first operator is in `operator.token` of weir's data directory, if it was not printed by `weir server init`
    ");

    let other = client(&door.url("https"), []).expect("is good");
    let sent = demo::run_by(&other, plan(door.url("https")), &SystemClock, std::future::pending()).await;
    insta::assert_snapshot!(printed(sent.expect_err("is not trusted"), &door), @r"
    error: connect to the gRPC door at https://ADDRESS: https://ADDRESS/ can not be taken for weir: nobody who is trusted vouches for its certificate
    next: name the certificate of its CA by `--ca-file FILE`, or the pin of its root by `--ca-pin sha256:…`
    ");
    let away = plan("http://weir.example:8082".to_owned());
    let sent = demo::run_by(&of_instance, away, &SystemClock, std::future::pending()).await;
    insta::assert_snapshot!(printed(sent.expect_err("is no TLS"), &door), @r"
    error: connect to the gRPC door at http://weir.example:8082: http://weir.example:8082/ is not reached by TLS: there is nothing that a CA or a pin could be compared with
    next: write `https://weir.example:8082`
    ");
}
