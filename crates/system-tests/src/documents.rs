//! Documents of an OpenSearch, as any of its users sees them.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::wait::until_seldom;

/// How many documents one answer has at most.
const PAGE: usize = 5_000;

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long the node keeps in mind what is being listed.
const SCROLL: &str = "1m";

/// The documents of all indices whose names match a pattern.
#[derive(Debug, Clone)]
pub struct Documents {
    node: SocketAddr,
    pattern: String,
    http: Client,
}

impl Documents {
    pub fn new(node: SocketAddr, pattern: &str) -> Self {
        Self { node, pattern: pattern.to_owned(), http: Client::new() }
    }

    /// How many there are.
    pub async fn count(&self) -> u64 {
        self.refresh().await;
        let path = format!("{}/_count?ignore_unavailable=true", self.pattern);
        let answer = self.ask(Method::GET, &path, &Value::Null).await;
        answer["count"].as_u64().unwrap_or_else(|| panic!("no count: {answer}"))
    }

    /// Shows each hit: its index, its id, its content.
    pub async fn each(&self, mut found: impl FnMut(&Value)) {
        self.refresh().await;
        let path = format!("{}/_search?scroll={SCROLL}&size={PAGE}&ignore_unavailable=true", self.pattern);
        let mut page = self.ask(Method::POST, &path, &json!({ "sort": ["_doc"] })).await;
        loop {
            let hits = page["hits"]["hits"].as_array().unwrap_or_else(|| panic!("no hits: {page}"));
            hits.iter().for_each(&mut found);
            if hits.is_empty() {
                return;
            }
            let scroll = json!({ "scroll": SCROLL, "scroll_id": page["_scroll_id"] });
            page = self.ask(Method::POST, "_search/scroll", &scroll).await;
        }
    }

    async fn refresh(&self) {
        let path = format!("{}/_refresh?ignore_unavailable=true", self.pattern);
        self.ask(Method::POST, &path, &Value::Null).await;
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = self.http.request(method, format!("http://{}/{path}", self.node));
        let request = if body.is_null() { request } else { request.json(body) };
        // An index that was just made has no shards yet.
        until_seldom("the node answers well", PATIENCE, async || {
            let request = request.try_clone().expect("its body is no stream");
            let answer = request.send().await.ok()?.json::<Value>().await.ok()?;
            (answer.get("error").is_none() && answer["_shards"]["failed"].as_u64().unwrap_or(0) == 0)
                .then_some(answer)
        })
        .await
    }
}
