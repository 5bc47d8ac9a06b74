//! `weir server` beside a producer and a consumer, over a real Kafka and a real OpenSearch: the other commands see into
//! a fleet as they see into one process.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use weir_services::{Engine, Home, Kafka, Search};
use weir_system_tests::cli::{Outcome, Running};
use weir_system_tests::process::{Addresses, Setup, Weir, free_address};
use weir_system_tests::reckoning::delivered;
use weir_system_tests::wait::until;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Stands before the names of indices, for other tests use the same node.
const NAMESPACE: &str = "fleet-";

const EVENTS: u32 = 60;

struct Fleet {
    search: SocketAddr,
    /// Commands that are asked of it find the server.
    server: Setup,
    /// Commands that send find the producer.
    producer: Setup,
    /// The settings of all of them.
    file: String,
    _processes: [Weir; 3],
    _kafka: Kafka,
}

fn settings(directory: &Path, kafka: &str, search: SocketAddr, producer: Addresses) -> String {
    let settings = json!({
        "kafka": { "brokers": [kafka], "tail_interval": "100ms", "listing_interval": "1s" },
        "elasticsearch": { "urls": [format!("http://{search}")], "namespace": NAMESPACE },
        "server": {
            "producer_grpc_url": format!("http://{}", producer.grpc),
            "producer_http_url": format!("http://{}", producer.http),
        },
    });
    // JSON is YAML.
    let path = directory.join("weir.yaml");
    std::fs::write(&path, settings.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

impl Fleet {
    async fn start(directory: &Path) -> Self {
        let kafka = Kafka::start(&Home::of_the_tree(), directory, 1).expect("it starts");
        let search = Search::of_this_process(&Home::of_the_tree(), Engine::OpenSearch2).expect("it starts");
        let setup = |role: &str| Setup::new(&directory.join(role));
        let (producer, consumer, server) = (setup("producer"), setup("consumer"), setup("server"));
        let file = settings(directory, &kafka.addresses(), search, producer.addresses);
        let start =
            async |setup: &Setup, role: &str| setup.start_as(setup.command(&[role, "--config", &file])).await;
        let checked = server.run(&["check", "--role", "server", "--config", &file]).good();
        assert_eq!(checked, "the settings are good\n");
        let processes = [
            start(&producer, "producer").await,
            start(&consumer, "consumer").await,
            start(&server, "server").await,
        ];
        Self { search, server, producer, file, _processes: processes, _kafka: kafka }
    }

    fn send(&self, lines: &str) {
        self.producer.feed(&["send", "--app", "shop"], lines.as_bytes()).good();
    }

    /// Waits until the consumer has dealt with everything that was sent, and it can be searched.
    async fn delivered(&self) {
        delivered(self.server.addresses).await;
        let url = format!("http://{}/{NAMESPACE}*/_refresh", self.search);
        reqwest::Client::new().post(url).send().await.unwrap().error_for_status().unwrap();
    }

    fn verified(&self) -> (Outcome, Value) {
        let outcome = self.server.run(&["audit", "--verify", "-o", "json"]);
        let line = outcome.out.lines().next().unwrap_or_else(|| panic!("no stream: {outcome:?}"));
        let stream = serde_json::from_str(line).expect("is JSON");
        (outcome, stream)
    }

    fn letters(&self) -> Vec<Value> {
        self.server.run(&["dead", "list", "-o", "json"]).json()
    }
}

fn event(number: u32) -> Value {
    let (level, message) = match number % 4 {
        0 => ("error", "payment timed out at the bank"),
        1 => ("info", "answered request"),
        _ => ("debug", "payment looked at, nothing timed"),
    };
    let service = ["cart", "catalog", "mail"][number as usize % 3];
    json!({
        "time": format!("2026-11-27T10:{:02}:{:02}.{:06}Z", number / 7, number % 7 * 8, number),
        "level": level,
        "message": message,
        "service": service,
        "status": 200 + number * 10,
        "user": { "name": format!("user {}", number % 5), "paid": number.is_multiple_of(2) },
    })
}

fn lines(events: impl Iterator<Item = Value>) -> String {
    events.map(|event| format!("{event}\n")).collect()
}

/// Pages of hits, one after the other, by the API.
async fn pages(setup: &Setup, query: &str) -> Vec<Value> {
    let (mut hits, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut parameters = vec![("prefix", "shop"), ("q", query), ("limit", "7")];
        parameters.extend(after.as_deref().map(|after| ("after", after)));
        let url = format!("http://{}/api/v1/search", setup.addresses.http);
        let url = reqwest::Url::parse_with_params(&url, &parameters).expect("a URL");
        let page: Value = reqwest::get(url).await.unwrap().json().await.expect("is JSON");
        let found = page["hits"].as_array().unwrap_or_else(|| panic!("no hits: {page}"));
        assert!(found.len() <= 7);
        hits.extend(found.iter().map(|hit| json!([hit["time"], hit["content"]])));
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return hits,
        }
    }
}

/// The same questions have the same answers as of one process that has the same events.
async fn answers_are_those_of_one_process(fleet: &Fleet, directory: &Path, sent: &str) {
    let alone = Setup::new(&directory.join("alone"));
    let _weir = alone.start().await;
    alone.feed(&["send", "--app", "shop"], sent.as_bytes()).good();
    delivered(alone.addresses).await;
    let queries = [
        ("", EVENTS as usize),
        ("level:error", 15),
        ("\"timed out\"", 15),
        ("timed -bank", 30),
        ("status:>=700 service:ca*", 6),
        ("user.paid:true OR level:info", 45),
        ("message:request user.name:\"user 3\"", 3),
        ("nobody", 0),
    ];
    for (query, count) in queries {
        let hits = pages(&fleet.server, query).await;
        assert_eq!(hits.len(), count, "{query}");
        assert_eq!(hits, pages(&alone, query).await, "{query}");
        for sum in [&["--count"][..], &["--histogram", "1m"], &["--top", "service"], &["--top", "status"]] {
            let arguments = [&["query", "shop", "-o", "json"], sum, &["--", query]].concat();
            let answer = fleet.server.run(&arguments).good();
            assert_eq!(answer, alone.run(&arguments).good(), "{arguments:?}");
        }
    }
}

/// Streams, indices, groups, the journal.
fn lists_are_of_kafka_and_of_the_store(fleet: &Fleet) {
    let list = |arguments: &[&str]| -> Vec<Value> {
        fleet.server.run(&[arguments, &["-o", "json"]].concat()).json()
    };
    let streams = list(&["streams"]);
    let shop = streams.iter().find(|stream| stream["stream"] == "shop_logs").expect("it is there");
    assert_eq!(shop.get("events"), None, "nobody counts them");
    let indices = list(&["indices", "shop"]);
    assert_eq!(indices.iter().filter_map(|index| index["events"].as_u64()).sum::<u64>(), u64::from(EVENTS));
    let groups = list(&["groups", "list"]);
    let consumers = groups.iter().find(|group| group["group"] == "weir-index").expect("it reads");
    assert_eq!((&consumers["live"], &consumers["waiting_records"]), (&json!(true), &json!(0)));
    let check = fleet.server.run(&["journal", "check"]);
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    assert!(check.err.contains("`weir journal dump`"), "{check:?}");
    let partitions = shop["partitions"].as_array().expect("is a list");
    let records = |partition: &Value| {
        list(&["journal", "dump", "shop", "--partition", &partition["partition"].to_string()])
    };
    let dumped: usize = partitions
        .iter()
        .flat_map(records)
        .map(|record| record["contents"].as_array().map_or(0, Vec::len))
        .sum();
    assert_eq!(dumped, EVENTS as usize);
}

/// Counts that nobody keeps are not made up; asked for one by one, all events are there.
fn the_books_agree(fleet: &Fleet, dead: u64) {
    let counts = fleet.server.run(&["audit"]);
    assert_eq!(counts.status.code(), Some(1), "{counts:?}");
    let row: Vec<&str> = counts.out.lines().nth(1).expect("a stream").split_whitespace().collect();
    let expected = ["shop_logs", "unknown", "unknown", &dead.to_string(), "0", "0", "0", "unknown"];
    assert_eq!(row, expected);
    assert!(counts.out.ends_with("compare positions, by `--verify`\n"), "{counts:?}");
    let (outcome, stream) = fleet.verified();
    assert!(outcome.status.success(), "{outcome:?}");
    let count = |name: &str| stream[name].as_u64().unwrap_or_else(|| panic!("no {name} in {stream}"));
    assert_eq!((count("dead"), count("waiting"), count("lost")), (dead, 0, 0));
    assert_eq!(count("accepted"), count("delivered") + dead, "{stream}");
}

/// What the store refuses is shown, changed, given to the producer again, and found.
async fn a_refused_event_is_replayed_with_a_change(fleet: &Fleet) {
    // The index of that day has taken the status for a number.
    let time = "2026-11-27T11:00:00Z";
    let refused = |message: &str| json!({ "time": time, "status": "broken", "message": message });
    fleet.send(&lines(["to be repaired", "to be replaced", "to be purged"].into_iter().map(refused)));
    let letters = until("three are dead", PATIENCE, async || {
        let letters = fleet.letters();
        (letters.len() == 3).then_some(letters)
    })
    .await;
    fleet.delivered().await;
    the_books_agree(fleet, 3);
    let shown = |letter: &Value| -> Value {
        assert_eq!((&letter["code"], &letter["stream"]), (&json!("rejected"), &json!("shop_logs")));
        let id = letter["id"].as_str().expect("an id");
        fleet.server.run(&["dead", "show", id, "-o", "json"]).json().remove(0)
    };
    let shown: Vec<Value> = letters.iter().map(shown).collect();
    let id = |message: &str| -> &str {
        let letter = shown.iter().find(|letter| letter["content"]["message"] == message);
        letter.and_then(|letter| letter["id"].as_str()).expect("it is shown with what it says")
    };
    let replayed = "1 accepted again, 0 refused\n";
    let set = ["dead", "replay", id("to be repaired"), "--set", "status=500", "--set", "user.by=operator"];
    assert_eq!(fleet.server.run(&set).good(), replayed);
    let content = json!({ "message": "replaced" }).to_string();
    let from_stdin = ["dead", "replay", id("to be replaced"), "--content", "-"];
    assert_eq!(fleet.server.feed(&from_stdin, content.as_bytes()).good(), replayed);
    assert_eq!(fleet.server.run(&["dead", "purge", id("to be purged")]).good(), "1 purged\n");
    assert_eq!(fleet.letters(), Vec::<Value>::new());
    fleet.delivered().await;
    let found: Vec<Value> =
        fleet.server.run(&["query", "shop", "status:500 user.by:operator", "-o", "json"]).json();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["content"]["message"], "to be repaired");
    let found: Vec<Value> = fleet.server.run(&["query", "shop", "replaced", "-o", "json"]).json();
    assert_eq!(found.len(), 1, "{found:?}");
    // They stay counted.
    the_books_agree(fleet, 3);
}

/// Removed behind weir's back.
async fn a_document_that_is_gone_is_missing(fleet: &Fleet) {
    let hits: Vec<Value> = fleet.server.run(&["query", "shop", "--limit", "1", "-o", "json"]).json();
    let id = hits[0]["id"].as_str().expect("an id");
    let url = format!("http://{}/{NAMESPACE}shop-*/_search?q=_id:%22{id}%22", fleet.search);
    let found: Value = reqwest::get(url).await.unwrap().json().await.expect("is JSON");
    let index = found["hits"]["hits"][0]["_index"].as_str().unwrap_or_else(|| panic!("it is not in {found}"));
    let url = format!("http://{}/{index}/_doc/{id}?refresh=true", fleet.search);
    reqwest::Client::new().delete(url).send().await.unwrap().error_for_status().unwrap();
    let (outcome, stream) = fleet.verified();
    assert_eq!(outcome.status.code(), Some(1), "{outcome:?}");
    assert_eq!(stream["verdict"], "differs");
    let finding = stream["findings"][0].as_str().expect("it is told");
    // The position is in the id.
    let position = id.rsplit('-').next().expect("it has an offset");
    // The three letters that are purged by now are not there either.
    assert!(finding.contains("4 events missing from the store, 3 of them removed on purpose"), "{finding}");
    let (_, named) = finding.rsplit_once(" at offset ").expect("positions");
    assert!(named.split(", ").any(|named| named == position), "{finding} of {id}");
}

/// Where other machines reach it, a server asks for the token of an operator and shows a certificate of its instance.
async fn who_comes_from_elsewhere_shows_a_token(fleet: &Fleet, directory: &Path) {
    let data_dir = directory.join("reached");
    let port = free_address().port();
    let reached = Setup::new(&data_dir)
        .with("listen.http", &format!("0.0.0.0:{port}"))
        .with("listen.allow_public", "true");
    let _weir = reached.start_as(reached.command(&["server", "--config", &fleet.file])).await;
    let token = data_dir.join("operator.token").display().to_string();
    let plain = ["--server", &format!("127.0.0.1:{port}")];
    let refused = reached.run(&[&["streams"][..], &plain].concat());
    assert!(refused.err.contains("an operator's token is needed"), "{refused:?}");
    let as_operator = [&plain[..], &["--token-file", &token]].concat();
    let pki: Value =
        reached.run(&[&["pki", "status", "-o", "json"][..], &as_operator].concat()).json().remove(0);
    let pin = pki["roots"][0]["pin"].as_str().unwrap_or_else(|| panic!("no pin in {pki:?}")).to_owned();
    let by_tls = ["--server", &format!("https://127.0.0.1:{port}"), "--ca-pin", &pin, "--token-file", &token];
    let streams: Vec<Value> = reached.run(&[&["streams", "-o", "json"][..], &by_tls].concat()).json();
    assert!(streams.iter().any(|stream| stream["stream"] == "shop_logs"), "{streams:?}");
    let agents: Vec<Value> = reached.run(&[&["agent", "list", "-o", "json"][..], &by_tls].concat()).json();
    assert_eq!(agents, [] as [Value; 0], "nobody has joined");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_is_seen_into_like_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(directory.path()).await;
    let tail = Running::start(fleet.server.command(&["tail", "shop", "level:error", "-o", "json"]), b"");
    until("the tail waits for the stream", PATIENCE, async || {
        tail.err().contains("the stream does not exist yet").then_some(())
    })
    .await;
    let sent = lines((0..EVENTS).map(event));
    fleet.send(&sent);
    until("the tail shows all errors while it goes on", PATIENCE, async || {
        (tail.out().lines().count() == 15).then_some(())
    })
    .await;
    drop(tail);
    fleet.delivered().await;
    answers_are_those_of_one_process(&fleet, directory.path(), &sent).await;
    lists_are_of_kafka_and_of_the_store(&fleet);
    the_books_agree(&fleet, 0);
    a_refused_event_is_replayed_with_a_change(&fleet).await;
    who_comes_from_elsewhere_shows_a_token(&fleet, directory.path()).await;
    a_document_that_is_gone_is_missing(&fleet).await;
    let view = |role: &str| directory.path().join(role).join("dead-letters").exists();
    assert_eq!((view("server"), view("consumer")), (true, false), "who only buries looks nothing up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_template_is_shown_and_written() {
    let directory = tempfile::tempdir().unwrap();
    let search = Search::of_this_process(&Home::of_the_tree(), Engine::OpenSearch2).expect("it starts");
    let setup = Setup::new(directory.path());
    let file = settings(directory.path(), "127.0.0.1:9", search, setup.addresses);
    let arguments = ["stores", "setup", "--config", &file, "--prefix", "templated"];
    let shown = setup.run(&[&arguments[..], &["--dry-run"]].concat()).good();
    let (request, body) = shown.split_once('\n').expect("a request and its body");
    assert_eq!(request, "PUT _index_template/weir-fleet-events");
    let body: Value = serde_json::from_str(body).expect("is JSON");
    let url = format!("http://{search}/_index_template/weir-fleet-events");
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 404, "nothing was sent");
    let written = setup.run(&arguments).good();
    assert_eq!(written, "wrote the index template `weir-fleet-events` for fleet-templated-*\n");
    let found: Value = reqwest::get(&url).await.unwrap().json().await.expect("is JSON");
    let found = &found["index_templates"][0]["index_template"];
    assert_eq!(found["index_patterns"], json!(["fleet-templated-*"]));
    assert_eq!(found["template"]["mappings"], body["template"]["mappings"]);
}
