//! All roles in this process, used as a client would.

mod agents;
mod behind_proxy;
mod certificates;
mod clocks;
mod frames;
mod log;
mod operators;
mod reached;
mod silent_clients;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use weir_foundation::clock::SystemClock;
use weir_foundation::exit::ExitCode;
use weir_foundation::settings::FlagValue;
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_foundation::telemetry::LastLines;
use weir_server::api::{
    Audit, AuditParameters, AuditVerdict, DeadLetters, JournalCheck, ReplayAnswer, SearchAnswer,
};

use super::*;
use crate::client::{Client, ServerArgs};
use crate::demo::{self, Bounds, Plan};
use crate::send::{Again, BadText, Job, Limits, Report, Sender, Source};
use crate::settings::Given;

struct World {
    directory: tempfile::TempDir,
    process: Process,
    supervisor: Supervisor,
    running: Running,
    client: Client,
}

/// An address that nobody else takes: of this machine, and of no other test.
fn free() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let ip = Ipv4Addr::new(127, 0, 77, NEXT.fetch_add(1, Ordering::Relaxed));
    let socket = TcpListener::bind((ip, 0)).expect("some port is free");
    socket.local_addr().expect("is bound")
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("there is space");
        Self::in_directory(directory).await
    }

    async fn in_directory(directory: tempfile::TempDir) -> Self {
        Self::with(directory, Arc::new(SystemClock), &[]).await
    }

    async fn with(
        directory: tempfile::TempDir,
        clock: Arc<dyn Clock>,
        more: &[(&'static str, &'static str)],
    ) -> Self {
        let flag = |path, value: &str| FlagValue { path, value: value.to_owned(), flag: "a test" };
        let mut flags = vec![
            flag("data_dir", &directory.path().join("data").display().to_string()),
            flag("listen.http", "127.0.0.1:0"),
            flag("listen.ops", "127.0.0.1:0"),
            flag("producer.grpc_listen", "127.0.0.1:0"),
            flag("producer.ingest_listen", "127.0.0.1:0"),
            flag("fleet.enrol_listen", "127.0.0.1:0"),
        ];
        flags.extend(more.iter().map(|(path, value)| flag(path, value)));
        let given = Given { flags, ..Given::default() };
        let settings = given.read().settings.expect("the settings are good");
        let deadlines = DrainDeadlines::default();
        let supervisor = Supervisor::new(Handle::current(), Arc::clone(&clock), deadlines);
        let process = Process::new(clock, supervisor.spawner(), LastLines::default());
        let running = up(&settings, &process).await.expect("everything starts");
        let server = format!("http://{}", running.addresses.http).parse().expect("is a URL");
        let client = Client::new(&ServerArgs { server: Some(server) }).expect("it has no TLS to fail");
        Self { directory, process, supervisor, running, client }
    }

    async fn send(&self, app: &str, lines: &str) -> Report {
        let file = self.directory.path().join("lines.log");
        std::fs::write(&file, lines).expect("there is space");
        self.send_file(app, file, "application/octet-stream").await
    }

    async fn send_file(&self, app: &str, file: PathBuf, media_type: &'static str) -> Report {
        let (report, outcome) = self.send_until(app, file, media_type, std::future::pending()).await;
        outcome.expect("every batch is answered");
        report
    }

    async fn send_until(
        &self,
        app: &str,
        file: PathBuf,
        media_type: &'static str,
        stop: impl Future<Output = ()>,
    ) -> (Report, Result<()>) {
        let job = Job {
            app: app.to_owned(),
            media_type,
            bad_text: BadText::Reject,
            limits: Limits { events: 3, bytes: 1 << 20 },
            run: 1,
            again: Again::No,
        };
        Sender::new(&self.client, &*self.process.clock, job).send(&[Source::named(file)], stop).await
    }

    /// The answer to a search once it has so many hits.
    async fn found(&self, prefix: &str, q: &str, hits: usize) -> SearchAnswer {
        let query = [("prefix", prefix), ("q", q), ("limit", "1000")];
        self.until(async || {
            let answer: SearchAnswer = self.client.get(&["search"], &query).await.expect("it answers");
            (answer.hits.len() == hits).then_some(answer)
        })
        .await
    }

    async fn audit(&self) -> Audit {
        self.until(async || {
            let parameters = AuditParameters { verify: Some(true) };
            let audit: Audit = self.client.get(&["audit"], &parameters).await.expect("it answers");
            audit.streams.iter().all(|stream| stream.waiting == Some(0)).then_some(audit)
        })
        .await
    }

    /// What operators collect.
    async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.running.addresses.ops);
        reqwest::get(url).await.expect("it answers").text().await.expect("it is whole")
    }

    async fn until<T>(&self, attempt: impl AsyncFn() -> Option<T>) -> T {
        let trying = async {
            loop {
                if let Some(found) = attempt().await {
                    return found;
                }
                SystemClock.sleep(Duration::from_millis(5)).await;
            }
        };
        weir_foundation::clock::timeout(&SystemClock, Duration::from_secs(60), trying)
            .await
            .expect("it comes to that in time")
    }

    async fn drain(self) -> (tempfile::TempDir, ExitCode) {
        let exit = self.supervisor.run_until(async {}).await;
        self.running.ops.stop();
        (self.directory, exit)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_found_and_survives_a_drain() {
    let world = World::new().await;
    let lines = "plain text\r\n\n{\"level\":\"error\",\"n\":7}\nsecond line\n[Sun Dec 04] not json\n";
    let report = world.send("shop", lines).await;
    assert_eq!((report.sent, report.acknowledged, report.known), (4, 4, 0));
    let again = world.send("shop", lines).await;
    assert_eq!((again.acknowledged, again.known), (4, 4), "a file that is sent again is known");

    let answer = world.found("shop", "", 4).await;
    assert!(answer.hits.iter().all(|hit| hit.stream == "shop_logs"));
    let answer = world.found("shop", "level:error", 1).await;
    assert_eq!(answer.hits[0].content.get(), r#"{"level":"error","n":7}"#);
    assert_eq!(world.audit().await.verdict, AuditVerdict::Agrees);

    let (directory, exit) = world.drain().await;
    assert_eq!(exit, ExitCode::Good);
    let world = World::in_directory(directory).await;
    world.found("shop", "", 4).await;
    assert_eq!(world.audit().await.verdict, AuditVerdict::Agrees);
    let again = world.send("shop", lines).await;
    assert_eq!(again.known, 4, "batches are known after a restart, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_weir_can_not_take_are_named() {
    let world = World::new().await;
    let file = world.directory.path().join("bad.log");
    std::fs::write(&file, b"good\nbad \xff\ngood\n").expect("there is space");
    let report = world.send_file("shop", file.clone(), "application/octet-stream").await;
    assert_eq!((report.sent, report.acknowledged, report.rejected), (3, 2, 1));
    assert_eq!((report.named[0].line, report.is_complete()), (2, false));

    std::fs::write(&file, "{\"a\":1}\n{\"a\":\n[]\n \t\n{\"a\":2}\nx\ny\nz\n").expect("there is space");
    let report = world.send_file("shop", file.clone(), "application/x-ndjson").await;
    assert_eq!((report.sent, report.acknowledged, report.rejected), (7, 2, 5));
    let lines: Vec<u64> = report.named.iter().map(|rejected| rejected.line).collect();
    assert_eq!(lines, [2, 3, 6, 7, 8]);

    std::fs::write(&file, b"\x1f\x8b\x08\0\n\n").expect("there is space");
    let (report, outcome) = world.send_until("shop", file, "text/plain", std::future::pending()).await;
    let error = outcome.expect_err("it is compressed").to_string();
    assert!(error.ends_with("bad.log is compressed with gzip"), "{error}");
    assert_eq!(report.sent, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_read_another_way_are_other_events() {
    let world = World::new().await;
    let file = world.directory.path().join("events.log");
    std::fs::write(&file, "{\"n\":1}\n").expect("there is space");
    for media_type in ["application/x-ndjson", "text/plain"] {
        let report = world.send_file("shop", file.clone(), media_type).await;
        assert_eq!((report.acknowledged, report.known), (1, 0), "{media_type}");
    }
    world.found("shop", "", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_or_reached_nobody_is_not_in_doubt() {
    let mut world = World::new().await;
    let file = world.directory.path().join("lines.log");
    std::fs::write(&file, "one\ntwo\n").expect("there is space");
    let check = async |world: &World, app: &str| {
        let (report, outcome) =
            world.send_until(app, file.clone(), "text/plain", std::future::pending()).await;
        outcome.expect_err("nothing is taken");
        assert_eq!((report.sent, report.refused, report.unanswered), (2, 2, 0), "{app}");
    };
    check(&world, "Not A Name").await;
    // It is not bound: whoever had it is gone.
    let free = TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let nobody = free.local_addr().expect("is bound");
    drop(free);
    let server = format!("http://{nobody}").parse().expect("is a URL");
    world.client = Client::new(&ServerArgs { server: Some(server) }).expect("it has no TLS to fail");
    check(&world, "shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_not_read_to_its_end_is_sent_again() {
    let world = World::new().await;
    let file = world.directory.path().join("lines.log");
    std::fs::write(&file, "one\ntwo\n").expect("there is space");
    let (report, outcome) = world.send_until("shop", file, "text/plain", std::future::ready(())).await;
    outcome.expect("nothing failed");
    assert_eq!((report.sent, report.cut_short, report.is_complete()), (0, true, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_goes_through_the_door_again() {
    let world = World::new().await;
    let collection = json!({
        "context": { "kafka_topic": "shop", "es_index_prefix": "shop" },
        "items": [{ "content": {} }, { "content": { "n": 1 } }],
    });
    let url = format!("http://{}/produce_batch", world.running.addresses.http);
    let answer = reqwest::Client::new().post(url).body(collection.to_string()).send().await;
    assert!(answer.expect("it answers").status().is_success());
    let letters = async |count: usize| {
        world
            .until(async || {
                let letters: DeadLetters = world.client.get(&["dead"], &()).await.expect("it answers");
                (letters.letters.len() == count).then_some(letters.letters)
            })
            .await
    };
    let first = letters(1).await[0].clone();
    assert_eq!((first.code.as_str(), first.prefix.as_deref()), ("empty-content", Some("shop")));
    let answer: ReplayAnswer =
        world.client.post(&["dead", "replay"], &json!({ "ids": [first.id] })).await.expect("it answers");
    assert_eq!((answer.accepted, answer.refused_total), (1, 0));
    // It came in again, and is as empty as it was.
    let audit = world
        .until(async || {
            let audit = world.audit().await;
            (audit.streams[0].dead == 2).then_some(audit)
        })
        .await;
    assert_eq!((audit.streams[0].accepted, audit.verdict), (Some(3), AuditVerdict::Agrees));
    assert_ne!(letters(1).await[0].id, first.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demonstration_ends_by_itself_and_its_books_agree() {
    let world = World::new().await;
    let plan = Plan {
        door: format!("http://{}", world.running.addresses.grpc),
        app: "shop".to_owned(),
        rate: 2_000,
        seed: 1,
        bounds: Bounds::After(Duration::from_millis(250)),
    };
    let outcome = demo::run(plan, &*world.process.clock, std::future::pending()).await.expect("it is taken");
    assert_eq!(outcome.acknowledged, 500);
    // As many as come in ten seconds by default; the query is that of README.md.
    let readme = r#"level:warn "answered request" -healthz status:>=400"#;
    let found = world
        .until(async || {
            let query = [("prefix", "shop"), ("q", readme)];
            let answer: SearchAnswer = world.client.get(&["search"], &query).await.expect("it answers");
            answer.hits.into_iter().next()
        })
        .await;
    assert_eq!(found.stream, "shop_logs");
    let audit = world.audit().await;
    assert_eq!((audit.streams[0].delivered, audit.verdict), (Some(500), AuditVerdict::Agrees));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_a_live_source_does_not_wait_for_its_batch_to_be_full() {
    let world = World::new().await;
    let pipe = world.directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there");
    assert!(made.success());
    let sending = world.send_file("shop", pipe.clone(), "text/plain");
    let writing = async {
        let mut writer = tokio::fs::OpenOptions::new().write(true).open(&pipe).await.expect("it is read");
        writer.write_all(b"first\n").await.expect("it is read");
        writer.flush().await.expect("it is read");
        world.found("shop", "first", 1).await;
        writer.write_all(b"last").await.expect("it is read");
        writer.flush().await.expect("it is read");
    };
    let (report, ()) = tokio::join!(sending, writing);
    assert_eq!((report.sent, report.acknowledged), (2, 2));
    world.found("shop", "", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_of_a_live_source_is_sent_when_it_is_interrupted() {
    let world = World::new().await;
    let pipe = world.directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there");
    assert!(made.success());
    let (interrupt, interrupted) = tokio::sync::oneshot::channel();
    let stop = async { interrupted.await.expect("the other side sends") };
    let sending = world.send_until("shop", pipe.clone(), "text/plain", stop);
    let writing = async {
        let mut writer = tokio::fs::OpenOptions::new().write(true).open(&pipe).await.expect("it is read");
        writer.write_all(b"first\nwithout an end").await.expect("it is read");
        writer.flush().await.expect("it is read");
        world.found("shop", "first", 1).await;
        interrupt.send(()).expect("it is waited for");
        // Held, so that it is not the writer who ends it.
        writer
    };
    let ((report, outcome), _writer) = tokio::join!(sending, writing);
    outcome.expect("every batch is answered");
    assert_eq!((report.sent, report.acknowledged, report.is_complete()), (2, 2, true));
    world.found("shop", "end", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_what_the_process_does() {
    let world = World::new().await;
    world.send("shop", "one\ntwo\n").await;
    let ask = async |path: &str| {
        let url = format!("http://{}{path}", world.running.addresses.ops);
        reqwest::get(url).await.expect("it answers").text().await.expect("it is whole")
    };
    assert_eq!(ask("/healthz").await.trim(), "ok");
    world.until(async || ask("/readyz").await.starts_with("ready").then_some(())).await;
    let status: serde_json::Value = serde_json::from_str(&ask("/status").await).expect("is JSON");
    assert_eq!(status["sections"]["journal"]["events_since_start"], 2);
    let metrics = ask("/metrics").await;
    for name in ["weir_journal_events_total 2", "weir_index_head_bytes ", "weir_server_tails 0"] {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "no `{name}` in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_read_at_all_is_in_the_audit_and_in_the_check() {
    let world = World::new().await;
    world.send("shop", "one\ntwo\n").await;
    world.found("shop", "", 2).await;
    let (directory, _) = world.drain().await;
    let file = directory.path().join("data/journal/journal-000001.db");
    let mut bytes = std::fs::read(&file).expect("it is there");
    bytes[..4096].fill(0xff);
    std::fs::write(&file, bytes).expect("there is space");
    let mut world = World::in_directory(directory).await;
    // Also at the next start, as long as the file is there.
    for _ in 0..2 {
        let parameters = AuditParameters { verify: Some(true) };
        let audit: Audit = world.client.get(&["audit"], &parameters).await.expect("it answers");
        assert_eq!(audit.verdict, AuditVerdict::Differs);
        assert!(audit.findings[0].contains("journal-000001.db"), "{audit:?}");
        let check: JournalCheck = world.client.get(&["journal", "check"], &()).await.expect("it answers");
        assert_eq!(check.quarantined.len(), 1, "{check:?}");
        let (directory, _) = world.drain().await;
        world = World::in_directory(directory).await;
    }
    world.drain().await;
}
