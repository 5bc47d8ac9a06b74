//! Rules from a file and from an endpoint, as they change and while they can not be had.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::health::Health;
use weir_foundation::metrics::Builder;
use weir_foundation::settings::{DurationText, Secret};
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_redaction::{
    Parts, RedactionMetrics, RedactionSection, RedactionSettings, Redactor, StartError, start,
};

use crate::support::{batch, contents};

/// The process in which redaction lives.
struct Process {
    supervisor: Supervisor,
    health: Health,
}

impl Process {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let supervisor = Supervisor::new(Handle::current(), Arc::clone(&clock), DrainDeadlines::default());
        Self { supervisor, health: Health::new(clock) }
    }

    fn parts(&self) -> Parts {
        Parts {
            clock: Arc::new(SystemClock),
            spawner: self.supervisor.spawner(),
            health: self.health.clone(),
            metrics: RedactionMetrics::register(&mut Builder::new()),
        }
    }

    async fn start(&self, section: RedactionSection) -> Result<Redactor, StartError> {
        start(&settings(section), self.parts()).await
    }

    fn state(&self) -> String {
        self.health.readiness().iter().map(ToString::to_string).collect()
    }
}

fn settings(section: RedactionSection) -> RedactionSettings {
    let section = RedactionSection { refresh: Some(DurationText::from_secs(1)), ..section };
    RedactionSettings::validate(&section).expect("is valid")
}

/// Rules that redact this word.
fn rules(word: &str) -> String {
    format!(r#"{{"default": {{"StaticRules": [{{"Name": "T", "Regex": "{word}"}}]}}}}"#)
}

fn is_redacted(redactor: &Redactor, word: &str) -> bool {
    let json = format!(r#"{{"a":"{word}"}}"#);
    let mut batch = batch("shop", &[&json]);
    redactor.redact(&mut batch);
    contents(&batch) != [json]
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let started = SystemClock.monotonic();
    while !condition() {
        let waited = SystemClock.monotonic().saturating_duration_since(started);
        assert!(waited < Duration::from_secs(60), "a minute passed and still not: {what}");
        SystemClock.sleep(Duration::from_millis(5)).await;
    }
}

/// What the endpoint answers, and what it was asked.
#[derive(Debug, Default)]
struct Market {
    answer: Mutex<(u16, String)>,
    asked: Mutex<Vec<String>>,
}

impl Market {
    async fn start() -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let market = Arc::new(Self::default());
        let served = Arc::clone(&market);
        tokio::task::spawn_local(async move { served.serve(&listener).await });
        (market, format!("http://{address}/api/fetch_redact_labels"))
    }

    async fn serve(&self, listener: &TcpListener) {
        loop {
            let (mut stream, _) = listener.accept().await.expect("it listens");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                head.push(byte);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            self.asked.lock().expect("no panic").extend(head.lines().next().map(str::to_owned));
            let (status, body) = self.answer.lock().expect("no panic").clone();
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.ok();
        }
    }

    fn answers(&self, status: u16, body: &str) {
        *self.answer.lock().expect("no panic") = (status, body.to_owned());
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn endpoint(url: &str) -> RedactionSection {
    RedactionSection {
        endpoint: Some(url.to_owned()),
        cluster_name: Some("my cluster".to_owned()),
        client_key: Some(Secret::new("k&y")),
        ..RedactionSection::default()
    }
}

async fn locally<T>(test: impl Future<Output = T>) -> T {
    tokio::task::LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn an_endpoint_is_asked_again_and_failures_keep_the_rules() {
    locally(Box::pin(async {
        let process = Process::new();
        let (market, url) = Market::start().await;
        market.answers(200, &rules("one"));
        let redactor = process.start(endpoint(&url)).await.expect("it answers");
        assert!(is_redacted(&redactor, "one") && !is_redacted(&redactor, "two"));
        let question = "GET /api/fetch_redact_labels?cluster_name=my+cluster&client_key=k%26y HTTP/1.1";
        assert_eq!(market.asked(), [question]);
        assert_eq!(process.state(), "redaction: idle");

        market.answers(200, &rules("two"));
        eventually("the new rules are applied", || is_redacted(&redactor, "two")).await;
        assert!(!is_redacted(&redactor, "one"));

        for (status, body) in [(404, r#"{"success":false,"errors":[],"code":404}"#), (500, "{}"), (200, "[]")]
        {
            market.answers(status, body);
            let before = market.asked().len();
            eventually("it was asked twice", || market.asked().len() >= before + 2).await;
            assert!(is_redacted(&redactor, "two"), "{status} {body}");
            let state = process.state();
            assert!(state.starts_with("redaction: degraded: the rules of before stay: "), "{state}");
            assert!(!state.contains("k%26y"), "the key is not told: {state}");
        }
        market.answers(200, "{}");
        eventually("redaction is off", || !is_redacted(&redactor, "two")).await;
        eventually("all is well", || process.state() == "redaction: idle").await;
    }))
    .await;
}

#[tokio::test]
async fn nothing_is_delivered_before_the_rules_are_known() {
    locally(Box::pin(async {
        let process = Process::new();
        let (market, url) = Market::start().await;
        market.answers(503, "");
        let settings = settings(endpoint(&url));
        let mut started = std::pin::pin!(start(&settings, process.parts()));
        tokio::select! {
            _ = &mut started => panic!("there are no rules"),
            () = eventually("it says why", || process.state().starts_with("redaction: failed: ")) => {}
        }
        assert!(!process.health.ready());
        market.answers(200, &rules("one"));
        let redactor = started.await.expect("it answers");
        assert!(is_redacted(&redactor, "one"));
        assert!(process.health.ready());
    }))
    .await;
}

#[tokio::test]
async fn the_process_can_end_while_it_waits_for_rules() {
    locally(Box::pin(async {
        let process = Process::new();
        let (market, url) = Market::start().await;
        market.answers(503, "");
        let (settings, parts) = (settings(endpoint(&url)), process.parts());
        let started = start(&settings, parts);
        let asked = eventually("it was asked", || !market.asked().is_empty());
        let (outcome, _) = tokio::join!(started, process.supervisor.run_until(asked));
        assert!(matches!(outcome, Err(StartError::Draining)), "{outcome:?}");
    }))
    .await;
}

#[tokio::test]
async fn a_file_is_read_again() {
    let process = Process::new();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("rules.json");
    let section = || RedactionSection { file: Some(path.clone()), ..RedactionSection::default() };
    let error = process.start(section()).await.expect_err("it is absent");
    assert!(matches!(error, StartError::Load(_)), "{error:?}");
    std::fs::write(&path, rules("one")).expect("there is space");
    let redactor = Process::new().start(section()).await;
    assert!(is_redacted(&redactor.expect("it is there"), "one"));

    let process = Process::new();
    let redactor = process.start(section()).await.expect("it is there");
    std::fs::write(&path, "no rules").expect("there is space");
    eventually("it is told", || process.state().contains("the rules of before stay")).await;
    assert!(is_redacted(&redactor, "one"));
    std::fs::write(&path, r#"{"default": {"StaticRules": [{"Name": "BAD", "Regex": "("}]}}"#)
        .expect("there is space");
    eventually("the rule is named", || process.state().contains("BAD")).await;
    assert_eq!(
        process.state(),
        "redaction: degraded: 1 rules are not applied, the first is default: StaticRules BAD: unclosed group"
    );
    std::fs::write(&path, rules("two")).expect("there is space");
    eventually("the new rules are applied", || is_redacted(&redactor, "two")).await;
}

#[tokio::test]
async fn without_a_source_nothing_is_redacted() {
    let process = Process::new();
    let redactor = process.start(RedactionSection::default()).await.expect("needs nothing");
    assert!(redactor.is_off());
    let text = RedactionSection { rules: Some(rules("one")), ..RedactionSection::default() };
    let redactor = process.start(text).await.expect("needs nothing");
    assert!(is_redacted(&redactor, "one"));
    assert_eq!(process.state(), "redaction: idle");
}
