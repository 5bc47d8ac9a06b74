//! What a stranger does on the first day: start it, send files, look at them, kill it, start it again, and find
//! every line once.

use serde::Deserialize;
use serde_json::{Value, json};
use weir_system_tests::process::Setup;
use weir_system_tests::reckoning::{delivered, verified};

/// Lines of each file.
const LINES: usize = 2_000;

/// A file of logs and the app that it is sent as.
struct Log {
    app: &'static str,
    file: &'static str,
    line: fn(usize) -> String,
    /// A query and how many lines it finds.
    search: (&'static str, usize),
}

const LOGS: [Log; 4] = [
    Log { app: "web", file: "access.log", line: access, search: ("\"GET /cart\" 503", LINES / 40) },
    Log { app: "host", file: "syslog", line: syslog, search: ("\"invalid user\" 203.0.113.7", LINES / 10) },
    Log { app: "shop", file: "shop.ndjson", line: shop, search: ("level:error status:>=500 -healthz", 166) },
    Log { app: "batch", file: "batch.log", line: batch, search: ("TimeoutException", LINES / 5) },
];

/// The combined format of web servers; with escapes, quotes and a request that is none.
fn access(at: usize) -> String {
    let address = format!("198.51.100.{}", at % 250);
    let time = format!("[03/Feb/2026:04:{:02}:{:02} +0000]", at / 60 % 60, at % 60);
    let (request, status) = match at % 40 {
        0 => ("GET /cart HTTP/1.1", 503),
        1 => (r"\x16\x03\x01\x00", 400),
        2..20 => ("GET /cart HTTP/1.1", 200),
        _ => ("POST /search?q=caf%C3%A9&page=2 HTTP/2.0", 200),
    };
    format!("{address} - - {time} \"{request}\" {status} {} \"-\" \"Mozilla/5.0 (X11; Linux)\"", at * 37)
}

/// What a machine says, with lines that are alike to the last letter.
fn syslog(at: usize) -> String {
    match at % 10 {
        0 => {
            format!("Feb  3 04:05:06 gate sshd[{}]: Invalid user admin from 203.0.113.7 port 4242", 900 + at)
        }
        1..4 => "Feb  3 04:05:06 gate systemd[1]: Started Session of user größe.".to_owned(),
        _ => format!("Feb  3 04:05:06 gate kernel: [{at:>7}.000001] eth0: link up,\t1000Mbps"),
    }
}

/// Structured events, nested, with integers that no double holds, and times of two days.
fn shop(at: usize) -> String {
    let (level, status) = if at.is_multiple_of(8) { ("error", 502) } else { ("info", 200) };
    let path = if at.is_multiple_of(3) { "/healthz" } else { "/orders" };
    let event = json!({
        "time": format!("2026-02-0{}T23:59:{:02}.{:03}Z", 3 + at % 2, at % 60, at % 1000),
        "level": level,
        "message": format!("order {at} for \"Zoë\" 🛒"),
        "status": status,
        "order": { "id": 9_007_199_254_740_993_u64 + at as u64, "items": [at, { "sku": "a.b" }] },
        "http.path": path,
    });
    event.to_string()
}

/// Traces of exceptions, which are indented.
fn batch(at: usize) -> String {
    match at % 5 {
        0 => format!(
            "2026-02-03 04:05:06,{:03} ERROR [main] java.util.concurrent.TimeoutException: job",
            at % 1000
        ),
        frame => format!("\tat com.example.Job{frame}.run(Job.java:{at})"),
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        (0..LINES).map(self.line).collect()
    }

    /// The events that its lines become, in some order.
    fn events(&self) -> Vec<String> {
        let event = |line: String| match line.parse::<Value>() {
            Ok(event @ Value::Object(_)) => event,
            _ => json!({ "message": line }),
        };
        sorted(self.lines().into_iter().map(event))
    }
}

#[derive(Deserialize)]
struct Hit {
    content: Value,
}

fn sorted(events: impl IntoIterator<Item = Value>) -> Vec<String> {
    let mut events: Vec<String> = events.into_iter().map(|event| event.to_string()).collect();
    events.sort_unstable();
    events
}

fn shown(setup: &Setup, arguments: &[&str]) -> Vec<String> {
    let hits: Vec<Hit> = setup.run(&[arguments, &["-o", "json"]].concat()).json();
    sorted(hits.into_iter().map(|hit| hit.content))
}

fn searched(setup: &Setup) {
    // More than there are: a line that is there twice would be found.
    let all = (2 * LINES).to_string();
    for log in &LOGS {
        assert!(shown(setup, &["query", log.app, "--limit", &all]) == log.events(), "{}", log.file);
        let (query, count) = log.search;
        assert_eq!(shown(setup, &["query", log.app, query, "--limit", &all]).len(), count, "{}", log.file);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_four_files_survives_a_kill_and_is_found_once() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(&directory.path().join("data"));
    let weir = setup.start().await;
    for log in &LOGS {
        let file = directory.path().join(log.file);
        std::fs::write(&file, log.lines().join("\n")).unwrap();
        let sent = setup.run(&["send", "--app", log.app, file.to_str().unwrap()]).good();
        assert!(sent.starts_with("2,000 of 2,000 events acknowledged in "), "{sent}");
    }
    let every = LINES.to_string();
    for log in &LOGS {
        let tailed = shown(&setup, &["tail", log.app, "--since", "1h", "--limit", &every]);
        assert!(tailed == log.events(), "{}", log.file);
    }
    delivered(setup.addresses).await;
    searched(&setup);
    weir.kill();
    let weir = setup.start().await;
    delivered(setup.addresses).await;
    verified(&setup);
    searched(&setup);
    assert!(weir.terminate().await.success());
}
