//! What is in the store in the end, held against what was acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::documents::Documents;
use crate::ledger::{Batch, Fate, Ledger};
use crate::process::{Addresses, Setup};
use crate::wait::until;

/// Most hits of one page of the search API.
const PAGE: usize = 10_000;

/// Ids that a complaint names at most.
const EXAMPLES: usize = 5;

/// What the search API answers, as far as it matters here.
#[derive(Deserialize)]
struct Page {
    hits: Vec<Hit>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Hit {
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    id: String,
}

/// How often each event of each batch that was sent is in the store.
struct Reckoning {
    found: BTreeMap<String, Vec<u8>>,
    /// Ids that nobody sent.
    invented: Vec<String>,
}

/// Shows the id of each event in the store, as often as it is there.
pub async fn each_stored(addresses: Addresses, app: &str, mut found: impl FnMut(&str)) {
    let client = reqwest::Client::new();
    let mut after: Option<String> = None;
    loop {
        let mut query = vec![("prefix", app.to_owned()), ("limit", PAGE.to_string())];
        query.extend(after.take().map(|cursor| ("after", cursor)));
        let url = format!("http://{}/api/v1/search", addresses.http);
        let url = reqwest::Url::parse_with_params(&url, &query).expect("a URL");
        let answer = client.get(url).send().await.expect("the API answers");
        let status = answer.status();
        let body = answer.text().await.expect("a body");
        assert!(status.is_success(), "{status}: {body}");
        let page: Page = serde_json::from_str(&body).expect("events with ids");
        page.hits.iter().for_each(|hit| found(&hit.content.id));
        match page.next {
            Some(next) => after = Some(next),
            None => return,
        }
    }
}

/// Waits until the store has taken all that the journal has.
pub async fn delivered(addresses: Addresses) {
    let url = format!("http://{}/api/v1/audit", addresses.http);
    until("everything is delivered", Duration::from_secs(120), async || {
        let body: Value = reqwest::get(&url).await.ok()?.text().await.ok()?.parse().ok()?;
        let streams = body["streams"].as_array()?;
        streams.iter().all(|stream| stream["waiting"].as_u64() == Some(0)).then_some(())
    })
    .await;
}

/// Panics unless every acknowledged event is in the store once, none twice, and none that was refused or that
/// nobody sent.
pub async fn settle(setup: &Setup, app: &str, ledger: &Ledger) {
    delivered(setup.addresses).await;
    let mut reckoning = Reckoning::of(ledger);
    each_stored(setup.addresses, app, |id| reckoning.note(id)).await;
    reckoning.settle(ledger);
    verified(setup);
}

/// As [`settle`], of what an OpenSearch has, once everything is delivered.
pub async fn settle_documents(documents: &Documents, ledger: &Ledger) {
    let mut reckoning = Reckoning::of(ledger);
    documents.each(|hit| reckoning.note(hit["_source"]["id"].as_str().unwrap_or("no id"))).await;
    reckoning.settle(ledger);
}

impl Reckoning {
    fn of(ledger: &Ledger) -> Self {
        let batches = ledger.batches();
        let none = |(id, batch): (&String, &Batch)| (id.clone(), vec![0; batch.events]);
        Self { found: batches.iter().map(none).collect(), invented: Vec::new() }
    }

    fn note(&mut self, id: &str) {
        match self.count(id) {
            Some(count) => *count = count.saturating_add(1),
            None => self.invented.push(id.to_owned()),
        }
    }

    fn count(&mut self, id: &str) -> Option<&mut u8> {
        let (batch, index) = id.rsplit_once('-')?;
        self.found.get_mut(batch)?.get_mut(index.parse::<usize>().ok()?)
    }

    /// Panics if something is wrong.
    fn settle(&self, ledger: &Ledger) {
        let complaints = self.complaints(ledger);
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// What is wrong, each with a few ids as examples.
    fn complaints(&self, ledger: &Ledger) -> Vec<String> {
        let batches = ledger.batches();
        let stored = self.found.values().flatten().filter(|count| **count > 0).count();
        let sent: usize = batches.values().map(|batch| batch.events).sum();
        eprintln!("sent {sent}, acknowledged {}, stored {stored}", ledger.acknowledged());
        let of_batches = |wrong: fn(Fate, u8) -> bool| -> Vec<String> {
            let ids = self.found.iter().flat_map(|(batch, counts)| {
                let fate = batches[batch].fate;
                let wrong = counts.iter().enumerate().filter(move |(_, count)| wrong(fate, **count));
                wrong.map(move |(index, _)| format!("{batch}-{index}"))
            });
            ids.take(EXAMPLES).collect()
        };
        let found = [
            (
                "acknowledged and not stored",
                of_batches(|fate, count| fate == Fate::Acknowledged && count == 0),
            ),
            ("stored more than once", of_batches(|_, count| count > 1)),
            ("refused and stored", of_batches(|fate, count| fate == Fate::Refused && count > 0)),
            ("stored and never sent", self.invented.iter().take(EXAMPLES).cloned().collect()),
        ];
        let wrong = found.into_iter().filter(|(_, ids)| !ids.is_empty());
        wrong.map(|(what, ids)| format!("{what}: {}", ids.join(", "))).collect()
    }
}

/// Panics unless `weir audit --verify` is content.
pub fn verified(setup: &Setup) {
    setup.run(&["audit", "--verify"]).good();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stored: &[&str], complaints: &[&str]) {
        let ledger = Ledger::default();
        for batch in ["taken", "refused", "unknown"] {
            ledger.sent(batch, 2);
        }
        ledger.acknowledge("taken");
        ledger.refuse("refused");
        let mut reckoning = Reckoning::of(&ledger);
        stored.iter().for_each(|id| reckoning.note(id));
        assert_eq!(reckoning.complaints(&ledger), complaints, "{stored:?}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        check(&["taken-0", "taken-1"], &[]);
        check(&["taken-1", "unknown-0", "taken-0", "unknown-1"], &[]);
        check(&[], &["acknowledged and not stored: taken-0, taken-1"]);
        check(&["taken-0"], &["acknowledged and not stored: taken-1"]);
        check(&["taken-0", "taken-1", "taken-0"], &["stored more than once: taken-0"]);
        check(&["taken-0", "taken-1", "refused-1"], &["refused and stored: refused-1"]);
        let invented = ["taken-0", "taken-1", "taken-2", "other-0", "odd"];
        check(&invented, &["stored and never sent: taken-2, other-0, odd"]);
    }
}
