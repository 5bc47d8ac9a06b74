//! Files that are written and rotated while they are read, and what is stored of them.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use weir_system_tests::process::Addresses;

/// Partition, offset, index.
type Place = (u32, u64, u32);

/// The lines of one file of one writer, with where they are.
type Found = BTreeMap<(usize, usize), Vec<(Place, u64)>>;

/// An event as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) place: Place,
    pub(crate) content: Value,
}

impl Stored {
    pub(crate) fn message(&self) -> &str {
        self.content["message"].as_str().expect("a text")
    }
}

/// Everything that is stored of an app.
pub(crate) async fn stored(addresses: Addresses, app: &str) -> Vec<Stored> {
    let client = reqwest::Client::new();
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("prefix", app.to_owned()), ("limit", "10000".to_owned())];
        query.extend(after.take().map(|cursor| ("after", cursor)));
        let url = format!("http://{}/api/v1/search", addresses.http);
        let url = reqwest::Url::parse_with_params(&url, &query).expect("a URL");
        let answer = client.get(url).send().await.expect("the API answers");
        let page: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("it is JSON");
        for hit in page["hits"].as_array().into_iter().flatten() {
            let id = hit["id"].as_str().expect("it has an id");
            let mut parts = id.rsplitn(3, '-');
            let (offset, index) = parts.next().and_then(|last| last.split_once('.')).expect("offset.index");
            let partition = parts.next().expect("the partition");
            let number = |text: &str| text.parse::<u64>().expect("a number");
            let small = |text: &str| u32::try_from(number(text)).expect("it is small");
            let place = (small(partition), number(offset), small(index));
            all.push(Stored { place, content: hit["content"].clone() });
        }
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return all,
        }
    }
}

pub(crate) async fn count(addresses: Addresses, app: &str) -> usize {
    stored(addresses, app).await.len()
}

/// What one writer has written: how many lines into each of its files.
pub(crate) type Written = Vec<u64>;

/// Writes `<writer> <file> <number>` until told to stop, and begins a new file now and then.
pub(crate) fn write(logs: &Path, writer: usize, seed: u64, stop: &AtomicBool) -> Written {
    let mut rng = StdRng::seed_from_u64(seed);
    let path = logs.join(format!("app-{writer}.log"));
    let open = || OpenOptions::new().create(true).append(true).open(&path).expect("there is space");
    let (mut file, mut written): (File, Written) = (open(), vec![0]);
    while !stop.load(Ordering::Relaxed) {
        let number = written.len() - 1;
        let mut text = String::new();
        for _ in 0..rng.random_range(1..30) {
            let filler = "x".repeat(rng.random_range(0..150));
            text.push_str(&format!("{writer} {number} {} {filler}\n", written[number]));
            written[number] += 1;
        }
        // Sometimes a line comes in two pieces.
        let (first, second) = text.split_at(rng.random_range(0..text.len()));
        file.write_all(first.as_bytes()).expect("there is space");
        std::thread::sleep(Duration::from_millis(rng.random_range(0..10)));
        file.write_all(second.as_bytes()).expect("there is space");
        if rng.random_bool(0.02) {
            std::fs::rename(&path, logs.join(format!("app-{writer}.log.{number}"))).expect("it is there");
            // Whoever rotates may go on for a moment in the file that has another name now.
            file.write_all(format!("{writer} {number} {} last\n", written[number]).as_bytes())
                .expect("there is space");
            written[number] += 1;
            file = open();
            written.push(0);
        }
    }
    written
}

/// Each line of each file once, in its order.
pub(crate) async fn check_each(addresses: Addresses, written: &[Written]) {
    let mut found = Found::new();
    for event in stored(addresses, "shop").await {
        let mut words = event.message().split(' ');
        let mut next = || words.next().and_then(|word| word.parse().ok()).expect("a number");
        let (writer, file, line) = (next(), next(), next());
        let place = (usize::try_from(writer).expect("is small"), usize::try_from(file).expect("is small"));
        found.entry(place).or_default().push((event.place, line));
    }
    for (writer, files) in written.iter().enumerate() {
        for (file, lines) in files.iter().enumerate() {
            let mut events = found.remove(&(writer, file)).unwrap_or_default();
            events.sort_unstable();
            let partitions: HashSet<u32> = events.iter().map(|((partition, _, _), _)| *partition).collect();
            assert!(partitions.len() <= 1, "{writer}/{file}: {partitions:?}");
            let order = events.iter().map(|(_, line)| *line);
            assert!(
                order.eq(0..*lines),
                "{writer}/{file}: {} of {lines} lines, once and in order",
                events.len()
            );
        }
    }
    assert!(found.is_empty(), "{found:?}");
}
