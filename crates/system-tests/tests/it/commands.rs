//! The commands as people and programs run them: what they print, in each of their forms, and how they end.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use weir_system_tests::cli::Running;
use weir_system_tests::process::{Setup, Weir};
use weir_system_tests::raw::{RawClient, collection, field};
use weir_system_tests::reckoning::{delivered, verified};
use weir_system_tests::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

/// Neighbours in a file of CSV, or in a line, must not be mixed up by these.
const AWKWARD: &str = "said \"hello, world\";\ttab";

const HIT: [&str; 5] = ["id", "stream", "time", "received", "content"];

/// An event as `query` and `tail` show it to programs.
#[derive(Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
struct Hit {
    id: String,
    stream: String,
    time: String,
    received: String,
    content: Value,
}

impl Hit {
    fn message(&self) -> &str {
        self.content["message"].as_str().expect("a line has a message")
    }
}

/// A file below the directory with these lines.
fn file(directory: &Path, name: &str, lines: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, lines).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn started(directory: &Path) -> (Setup, Weir) {
    let setup = Setup::new(&directory.join("data"));
    let weir = setup.start().await;
    (setup, weir)
}

/// Sends lines and waits until they can be found.
async fn sent(setup: &Setup, app: &str, lines: &str) {
    setup.feed(&["send", "--app", app], lines.as_bytes()).good();
    delivered(setup.addresses).await;
}

/// The records of a CSV file with these columns.
fn csv(text: &str, columns: &[&str]) -> Vec<csv::StringRecord> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    assert_eq!(reader.headers().unwrap(), columns, "{text}");
    reader.records().collect::<Result<_, _>>().unwrap()
}

/// The rows of a list, which are the same in each of its forms. After the text may come so many lines more.
fn listed(setup: &Setup, arguments: &[&str], columns: &[&str], more: usize) -> Vec<Value> {
    let form = |form| setup.run(&[arguments, &["-o", form]].concat());
    let rows: Vec<Value> = form("json").json();
    let text = setup.run(arguments).good();
    let names: Vec<String> = columns.iter().map(|name| name.replace('_', " ").to_uppercase()).collect();
    let header = text.lines().next().expect("a header").split("  ").map(str::trim);
    assert_eq!(header.filter(|name| !name.is_empty()).collect::<Vec<_>>(), names, "{text}");
    assert_eq!(text.lines().count(), 1 + rows.len() + more, "{text}");
    let records = csv(&form("csv").good(), columns);
    assert_eq!(records.len(), rows.len());
    for ((row, record), line) in rows.iter().zip(&records).zip(text.lines().skip(1)) {
        for (name, cell) in columns.iter().zip(record) {
            assert!(line.contains(cell), "`{cell}` is not in {line}");
            match &row[name] {
                Value::Number(number) => assert_eq!(cell, number.to_string(), "{name}"),
                Value::String(text) if text.ends_with('Z') => {
                    assert!(cell.ends_with("+00:00"), "{name}: {cell}")
                }
                Value::String(text) => assert_eq!(cell, text, "{name}"),
                // Lists are counted, or not shown.
                _ => {}
            }
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn send_takes_files_and_standard_input() {
    let directory = tempfile::tempdir().unwrap();
    let (setup, weir) = started(directory.path()).await;
    let text = file(directory.path(), "app.log", &format!("one\n\n{AWKWARD}\n"));
    let json = file(directory.path(), "app.ndjson", "{\"message\":\"three\",\"n\":9007199254740993}\n");
    let summary = |out: &str, counts: &str| {
        let (said, rest) = out.split_once(" events acknowledged in ").expect("a summary");
        assert_eq!(said, counts, "{out}");
        rest.split_once('\n').expect("lines").1.to_owned()
    };
    let both = setup.run(&["send", "--app", "shop", &text, &json]);
    assert_eq!(both.err, "", "no progress where there is no terminal");
    assert_eq!(summary(&both.good(), "3 of 3"), "");
    let again = setup.run(&["send", "--app", "shop", &text, &json]).good();
    assert_eq!(summary(&again, "3 of 3"), "3 of them were stored before and are not stored twice\n");
    for arguments in [&["send", "--app", "shop"][..], &["send", "--app", "shop", "-"]] {
        assert_eq!(summary(&setup.feed(arguments, b"from a pipe").good(), "1 of 1"), "");
    }
    let odd = file(directory.path(), "odd.log", "");
    std::fs::write(&odd, b"good\nb\xffd\nfine\n").unwrap();
    let odd_lines = setup.run(&["send", "--app", "shop", &odd]);
    assert_eq!(odd_lines.status.code(), Some(1), "{odd_lines:?}");
    assert!(odd_lines.err.starts_with(&format!("{odd}:2: ")), "{odd_lines:?}");
    assert_eq!(summary(&odd_lines.out, "2 of 3"), "1 rejected\n");
    let gone = setup.run(&["send", "--app", "shop", "/nonexistent/app.log"]);
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    assert!(gone.err.contains("/nonexistent/app.log") && gone.err.contains("No such file"), "{gone:?}");
    delivered(setup.addresses).await;
    let hits: Vec<Hit> = setup.run(&["query", "shop", "-o", "json"]).json();
    let mut messages: Vec<_> = hits.iter().map(Hit::message).collect();
    messages.sort_unstable();
    assert_eq!(messages, ["fine", "from a pipe", "from a pipe", "good", "one", AWKWARD, "three"]);
    assert!(weir.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn query_prints_text_json_and_csv() {
    let directory = tempfile::tempdir().unwrap();
    let (setup, weir) = started(directory.path()).await;
    let event = serde_json::json!({
        "time": "2026-02-03T04:05:06.789Z", "level": "error", "message": AWKWARD, "status": 503,
    });
    sent(&setup, "shop", &format!("{event}\nanother\n")).await;
    let query = |form| setup.run(&["query", "shop", "hello", "-o", form]);
    let hits: Vec<Hit> = query("json").json();
    let [hit] = &hits[..] else { panic!("{hits:?}") };
    assert_eq!((&*hit.stream, &*hit.time), ("shop_logs", "2026-02-03T04:05:06.789+00:00"));
    assert!(hit.id.starts_with("shop_logs-") && hit.received.ends_with("+00:00"), "{hit:?}");
    assert_eq!(hit.content, event);
    let records = csv(&query("csv").good(), &HIT);
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!(record.iter().take(4).collect::<Vec<_>>(), [&hit.id, &hit.stream, &hit.time, &hit.received]);
    assert_eq!(record[4].parse::<Value>().unwrap(), event);
    let text = query("text").good();
    assert_eq!(text.lines().count(), 1, "{text}");
    let words = ["2026-02-03T04:05:06.789+00:00 ", "error", "hello, world", "status=503"];
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
    let none = setup.run(&["query", "shop", "nothing", "-o", "json"]);
    assert_eq!(none.good(), "");
    let wrong = setup.run(&["query", "shop", "level:error \"timed"]);
    assert_eq!(wrong.status.code(), Some(64), "{wrong:?}");
    assert!(wrong.err.contains("\n  level:error \"timed\n                    ^\n"), "{wrong:?}");
    assert!(weir.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_shows_what_comes_and_what_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (setup, weir) = started(directory.path()).await;
    let all = Running::start(setup.command(&["tail", "shop", "-o", "json"]), b"");
    let errors = ["tail", "shop", "level:error", "--limit", "2", "-o", "json"];
    let errors = Running::start(setup.command(&errors), b"");
    for tail in [&all, &errors] {
        until("it waits for the stream", PATIENCE, async || {
            tail.err().contains("the stream does not exist yet").then_some(())
        })
        .await;
    }
    let event = |level: &str, message: &str| format!("{{\"level\":\"{level}\",\"message\":\"{message}\"}}\n");
    let (first, second, third) = (event("info", "one"), event("error", "two"), event("error", "three"));
    // One after the other, so that the order is known.
    for lines in [&first, &second] {
        let before = all.out().lines().count();
        setup.feed(&["send", "--app", "shop"], lines.as_bytes()).good();
        let live = async || (all.out().lines().count() > before).then_some(());
        until("it is shown while the tail goes on", PATIENCE, live).await;
    }
    setup.feed(&["send", "--app", "shop"], third.as_bytes()).good();
    let mut hits: Vec<Hit> = errors.outcome().json();
    // Each batch may be in a partition of its own.
    hits.sort_by(|one, other| one.received.cmp(&other.received));
    assert_eq!(hits.iter().map(Hit::message).collect::<Vec<_>>(), ["two", "three"]);
    until("all are shown", PATIENCE, async || (all.out().lines().count() == 3).then_some(())).await;
    let shown: Vec<Hit> = all.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(shown.iter().map(Hit::message).collect::<Vec<_>>(), ["one", "two", "three"]);
    assert_eq!(shown[1..], hits, "both show the same of an event");
    // What came before it began.
    let since = |form| setup.run(&["tail", "shop", "--since", "1h", "--limit", "3", "-o", form]).good();
    let ids = csv(&since("csv"), &HIT).iter().map(|record| record[0].to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(ids, shown.iter().map(|hit| hit.id.clone()).collect());
    assert_eq!(since("text").lines().count(), 3);
    assert!(weir.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_indices_and_the_audit_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    let (setup, weir) = started(directory.path()).await;
    sent(&setup, "shop", "one\ntwo\n").await;
    sent(&setup, "mail", "{\"time\":\"2026-02-03T04:05:06Z\",\"message\":\"three\"}\n").await;
    let columns = ["stream", "partitions", "events", "retained_events", "bytes", "created"];
    let streams = listed(&setup, &["streams"], &columns, 0);
    let counts: Vec<_> = streams.iter().map(|row| (row["stream"].as_str(), row["events"].as_u64())).collect();
    assert_eq!(counts, [(Some("mail_logs"), Some(1)), (Some("shop_logs"), Some(2))]);
    // In the segments that the end of a process leaves.
    assert!(weir.terminate().await.success());
    let weir = setup.start().await;
    let columns = ["index", "prefix", "day", "events", "bytes", "files"];
    let indices = listed(&setup, &["indices"], &columns, 0);
    assert_eq!(indices.len(), 2, "{indices:?}");
    assert_eq!(indices[0]["index"], "mail-2026.02.03");
    let [mail] = &listed(&setup, &["indices", "mail", "--files"], &["index", "file"], 0)[..] else {
        panic!("one event is in one file")
    };
    let (index, path) = (&mail["index"], mail["file"].as_str().expect("a path"));
    assert_eq!(index, "mail-2026.02.03");
    assert_eq!(&std::fs::read(path).unwrap()[..4], b"PAR1", "{path} is Parquet");
    let columns = ["stream", "accepted", "delivered", "dead", "waiting", "expired", "lost", "verdict"];
    let audit = setup.run(&["audit"]).good();
    let header = audit.lines().next().expect("a header").split_whitespace().map(str::to_lowercase);
    assert_eq!(header.collect::<Vec<_>>(), columns);
    assert!(audit.ends_with("counts agree: everything that was accepted is accounted for\n"), "{audit}");
    assert!(weir.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_shows_the_same_through_weir_and_without() {
    let directory = tempfile::tempdir().unwrap();
    let (setup, weir) = started(directory.path()).await;
    sent(&setup, "shop", &format!("one\n{AWKWARD}\n")).await;
    let look = |place: &[&str]| {
        let check =
            ["stream", "partition", "incarnation", "start", "end", "records", "events", "undecodable"];
        let check =
            listed(&setup, &[&["journal", "check"], place].concat(), &[&check[..], &["losses"]].concat(), 1);
        let events: u64 = check.iter().map(|row| row["events"].as_u64().expect("a count")).sum();
        assert_eq!(events, 2);
        let of_stream: Vec<_> = check.iter().filter(|row| row["events"] == 2).collect();
        let partition = of_stream[0]["partition"].to_string();
        let dump =
            ["offset", "first_event", "received", "format", "events", "bytes", "batch", "first_content"];
        let arguments = [&["journal", "dump", "shop", "--partition", &partition], place].concat();
        let dump = listed(&setup, &arguments, &dump, 0);
        assert_eq!(dump.len(), 1, "{dump:?}");
        assert_eq!(dump[0]["contents"][1]["message"], AWKWARD);
        (check, dump)
    };
    let running = look(&[]);
    assert!(weir.terminate().await.success());
    let data_dir = setup.data_dir.to_str().unwrap();
    let stopped = look(&["--data-dir", data_dir]);
    assert_eq!(running, stopped);
    let nobody = setup.run(&["journal", "check"]);
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
    assert!(nobody.err.contains("next: if none runs, name its files with `--data-dir DIR`"), "{nobody:?}");
    let unknown = setup.run(&["journal", "dump", "mail", "--data-dir", data_dir]);
    assert_eq!((unknown.status.code(), &*unknown.err), (Some(64), "error: there is no `mail/0`\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_replayed_and_purged() {
    let directory = tempfile::tempdir().unwrap();
    let (setup, weir) = started(directory.path()).await;
    // Without content, which the door takes and the store can not keep.
    let timber = field(2, b"2026-02-03T04:05:06Z");
    let client = RawClient::connect(setup.addresses.grpc).await;
    client
        .produce_batch(collection("shop", [&timber[..], &timber]))
        .await
        .expect("barito-flow's doors take it");
    delivered(setup.addresses).await;
    let columns = ["id", "died", "events", "code", "message"];
    let letters = listed(&setup, &["dead", "list"], &columns, 0);
    assert_eq!(letters.len(), 2);
    let id = letters[0]["id"].as_str().expect("an id");
    assert_eq!(
        (&letters[0]["code"], &letters[0]["stream"]),
        (&"missing-content".into(), &"shop_logs".into())
    );
    let shown = setup.run(&["dead", "show", id]).good();
    assert!(shown.starts_with(&format!("id           {id}\n")), "{shown}");
    // The cause is still there: it dies again, as another.
    let replayed = setup.run(&["dead", "replay", id]);
    let note = "they are delivered as new events, and die again if the cause is still there\n";
    assert_eq!(replayed.err, note);
    assert_eq!(replayed.good(), "1 accepted again, 0 refused\n");
    delivered(setup.addresses).await;
    let now: Vec<Value> = setup.run(&["dead", "list", "-o", "json"]).json();
    assert_eq!(now.len(), 2, "{now:?}");
    assert!(now.iter().all(|letter| letter["id"] != id), "{now:?}");
    let other = now[0]["id"].as_str().expect("an id");
    assert_eq!(setup.run(&["dead", "purge", other]).good(), "1 purged\n");
    let again = setup.run(&["dead", "purge", other]);
    assert_eq!((again.status.code(), &*again.out), (Some(1), "0 purged\n"), "{again:?}");
    assert_eq!(again.err, "there is no such dead letter: 1 of the ids\n");
    assert_eq!(setup.run(&["dead", "purge", "--code", "too-deep"]).good(), "0 purged\n");
    assert_eq!(setup.run(&["dead", "purge", "--stream", "shop"]).good(), "1 purged\n");
    assert_eq!(setup.run(&["dead", "list", "-o", "json"]).good(), "");
    let which = setup.run(&["dead", "purge"]);
    assert_eq!(which.status.code(), Some(64), "{which:?}");
    verified(&setup);
    assert!(weir.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounded_demo_ends_with_its_audit() {
    let directory = tempfile::tempdir().unwrap();
    let (setup, weir) = started(directory.path()).await;
    let grpc = format!("http://{}", setup.addresses.grpc);
    let demo = ["demo", "--seconds", "2", "--rate", "50", "--seed", "7", "--app", "corner", "--grpc", &grpc];
    let demo = setup.run(&demo);
    assert_eq!(demo.err, "sending 50 events/s as `corner`, seed 7\n100 events acknowledged\n");
    let audit = demo.good();
    let row: Vec<_> = audit.lines().nth(1).expect("a stream").split_whitespace().collect();
    assert_eq!(row, ["corner_logs", "100", "100", "0", "0", "0", "0", "agrees"]);
    assert!(audit.ends_with("counts agree: everything that was accepted is accounted for\n"), "{audit}");
    verified(&setup);
    assert!(weir.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_with_a_demo_has_something_to_look_at() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path());
    let weir = setup.start_with(&["--demo"]).await;
    let hits = until("there are events of a shop", PATIENCE, async || {
        let hits: Vec<Hit> = setup.run(&["query", "shop", "level:info", "--limit", "5", "-o", "json"]).json();
        (hits.len() == 5).then_some(hits)
    })
    .await;
    let whole = |hit: &Hit| ["service", "level", "message"].iter().all(|name| hit.content[name].is_string());
    assert!(hits.iter().all(whole), "{hits:?}");
    assert!(weir.terminate().await.success());
    // The last batch was seen through.
    let weir = setup.start().await;
    verified(&setup);
    assert!(weir.terminate().await.success());
}
