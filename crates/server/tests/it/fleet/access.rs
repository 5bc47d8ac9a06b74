//! Who is let in, and what those learn who are not.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;
use weir_fleet::OperatorName;

use crate::world::{World, json as body};

/// All operations of the document, with something in the place of every parameter, and whether they are of operators.
fn operations() -> Vec<(Method, String, bool)> {
    let document = weir_server::openapi();
    let paths = document["paths"].as_object().expect("there are paths");
    let mut operations = Vec::new();
    for (path, methods) in paths {
        let filled = path.split('/').map(|part| if part.starts_with('{') { "x1" } else { part });
        let filled = filled.collect::<Vec<_>>().join("/");
        for (method, operation) in methods.as_object().expect("there are methods") {
            let method = method.to_uppercase().parse().expect("is a method");
            operations.push((method, filled.clone(), operation["security"].is_array()));
        }
    }
    operations
}

#[tokio::test]
async fn whoever_shows_no_good_token_learns_nothing() {
    let world = World::new().await;
    let admin = OperatorName::new("admin").expect("is legal");
    let create = async |name: &str, life| {
        let name = OperatorName::new(name).expect("is legal");
        let token = world.fleet().create_operator(&name, life, Some(&admin)).await.expect("it is new").token;
        (name, token.reveal().to_owned())
    };
    let (removed_name, removed) = create("removed", None).await;
    world.fleet().remove_operator(&removed_name, &admin).await.expect("another stays");
    let (_, expired) = create("expired", Some(Duration::from_nanos(1))).await;
    let good = world.token();
    let shown = [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some(format!("Bearer {removed}")),
        Some(format!("Bearer {expired}")),
        Some(format!("Bearer {}x", good)),
        Some(format!("Bearer {}", &good[..good.len() - 1])),
        Some(format!("Bearer {}", good.to_uppercase())),
        Some(format!("Basic {good}")),
        Some(good.to_owned()),
    ];
    let mut answers = Vec::new();
    for (method, path, _) in operations().into_iter().filter(|(_, _, of_operators)| *of_operators) {
        for shown in &shown {
            // Neither what is there nor what is wrong with the rest makes a difference.
            for text in [Value::Null, json!({ "unknown": 1 })] {
                let response = world.ask_as(shown.as_deref(), method.clone(), &path, Some(text)).await;
                let challenge = response.headers().get("www-authenticate").cloned();
                assert_eq!(challenge.expect("says what is wanted"), "Bearer", "{method} {path} {shown:?}");
                answers.push(body(response).await);
            }
        }
    }
    let (first, rest) = answers.split_first().expect("there are routes");
    assert_eq!((first.0, &first.1["error"]["code"]), (StatusCode::UNAUTHORIZED, &json!("unauthorized")));
    assert!(rest.iter().all(|answer| answer == first), "{answers:?}");
}

#[tokio::test]
async fn on_this_machine_the_rest_needs_no_token() {
    let world = World::new().await;
    world.shop(3).await;
    let mut open = 0;
    for (method, path, _) in operations().into_iter().filter(|(_, _, of_operators)| !*of_operators) {
        let response = world.ask(method.clone(), &path, Some(json!({}))).await;
        assert_ne!(response.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
        open += 1;
    }
    assert!(open >= 12, "{open}");
    assert_eq!(world.get("/api/v1/streams").await.0, StatusCode::OK);
}

#[tokio::test]
async fn from_other_machines_everything_needs_a_token() {
    let world = World::public().await;
    let mut paths = operations();
    paths.push((Method::GET, "/api/v1/openapi.json".to_owned(), false));
    for (method, path, _) in paths {
        for shown in [None, Some("Bearer weiro1_x")] {
            let response = world.ask_as(shown, method.clone(), &path, Some(json!({}))).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(body(response).await.1["error"]["code"], "unauthorized", "{method} {path}");
        }
        let shown = format!("Bearer {}", world.token());
        let response = world.ask_as(Some(&shown), method.clone(), &path, Some(json!({}))).await;
        assert_ne!(response.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
    }
    assert_eq!(world.operate(Method::GET, "/api/v1/streams", None).await.0, StatusCode::OK);
}

/// Everything that is logged.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Of this thread, for as long as the second is held.
    pub(super) fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_writer(log.clone())
            .with_ansi(false)
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        (log, guard)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no test panics with it").clone()).expect("is text")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The runtime of the test has one thread, so that everything is logged here.
#[tokio::test]
async fn no_secret_is_logged_or_told_a_second_time() {
    let (log, _logging) = Log::begin();
    let world = World::new().await;
    let given = "a-secret-of-old-clients";
    let mut secrets = vec![world.token().to_owned(), given.to_owned()];
    world.tell("/api/v1/apps", json!({ "app": "old", "secret": given })).await;
    let answer = world.tell("/api/v1/apps", json!({ "app": "shop" })).await;
    secrets.push(super::text(&answer["secret"]).to_owned());
    let answer = world.tell("/api/v1/apps/shop/secrets", json!({})).await;
    secrets.push(super::text(&answer["secret"]).to_owned());
    let answer = world.tell("/api/v1/keys", json!({ "title": "web", "apps": ["shop"] })).await;
    secrets.push(super::text(&answer["access_key"]).to_owned());
    let answer = world.tell("/api/v1/operators", json!({ "operator": "ann" })).await;
    secrets.push(super::text(&answer["token"]).to_owned());

    let mut told = String::new();
    // Each is shown where it does not belong, too.
    for secret in &secrets {
        for (path, field) in [("apps/shop/secrets", "secret"), ("keys", "title"), ("operators", "operator")] {
            let wrong = json!({ field: [secret] });
            let shown = format!("Bearer {secret}x");
            let path = format!("/api/v1/{path}");
            let response = world.ask_as(Some(&shown), Method::POST, &path, Some(wrong)).await;
            told += &body(response).await.1.to_string();
        }
        let again = json!({ "app": "third", "secret": [secret] });
        told += &world.operate(Method::POST, "/api/v1/apps", Some(again)).await.1.to_string();
    }
    let again = json!({ "app": "third", "secret": given });
    told += &world.refused(Method::POST, "/api/v1/apps", Some(again), 400, "bad-secret").await;
    for path in ["apps", "apps/shop", "keys", "operators", "agents", "configurations", "pki"] {
        told += &world.look(&format!("/api/v1/{path}")).await.to_string();
    }
    let logged = log.text();
    assert!(logged.contains("created an access key"), "the log is read");
    for secret in &secrets {
        assert!(!logged.contains(secret.as_str()), "{secret} is in the log");
        assert!(!told.contains(secret.as_str()), "{secret} is told again");
    }
}
