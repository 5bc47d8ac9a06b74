//! What is in the store in the end, held against what was acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::load::Ledger;
use crate::process::{Addresses, Setup};
use crate::wait::until;

/// Most hits of one page of the search API.
const PAGE: usize = 10_000;

/// How often each event's id is in the store.
pub async fn stored(addresses: Addresses, app: &str) -> BTreeMap<String, u32> {
    let client = reqwest::Client::new();
    let mut ids = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let mut query = vec![("prefix", app.to_owned()), ("limit", PAGE.to_string())];
        query.extend(after.take().map(|cursor| ("after", cursor)));
        let url = format!("http://{}/api/v1/search", addresses.http);
        let url = reqwest::Url::parse_with_params(&url, &query).expect("a URL");
        let answer = client.get(url).send().await.expect("the API answers");
        let status = answer.status();
        let body: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        assert!(status.is_success(), "{status}: {body}");
        for hit in body["hits"].as_array().expect("hits") {
            let id = hit["content"]["id"].as_str().unwrap_or_else(|| panic!("an event without id: {hit}"));
            *ids.entry(id.to_owned()).or_default() += 1;
        }
        match body["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return ids,
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

/// Panics unless every acknowledged event is in the store once, none twice, and none that nobody sent.
pub async fn settle(setup: &Setup, app: &str, ledger: &Ledger) {
    delivered(setup.addresses).await;
    let stored = stored(setup.addresses, app).await;
    let (acknowledged, sent) = (ledger.acknowledged(), ledger.sent());
    let lost: Vec<_> = acknowledged.iter().filter(|id| !stored.contains_key(*id)).take(5).collect();
    let repeated: Vec<_> = stored.iter().filter(|(_, count)| **count > 1).take(5).collect();
    let invented: Vec<_> = stored.keys().filter(|id| !sent.contains(*id)).take(5).collect();
    eprintln!("sent {}, acknowledged {}, stored {}", sent.len(), acknowledged.len(), stored.len());
    assert!(lost.is_empty(), "acknowledged and not stored: {lost:?}");
    assert!(repeated.is_empty(), "stored more than once: {repeated:?}");
    assert!(invented.is_empty(), "stored and never sent: {invented:?}");
    verified(setup);
}

/// Panics unless `weir audit --verify` is content.
pub fn verified(setup: &Setup) {
    let audit = setup.run(&["audit", "--verify"]);
    assert!(
        audit.status.success(),
        "audit --verify: {}\n{}{}",
        audit.status,
        String::from_utf8_lossy(&audit.stdout),
        String::from_utf8_lossy(&audit.stderr)
    );
}
