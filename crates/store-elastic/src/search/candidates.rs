//! The events that the store takes for matches, page by page, in the order of hits.

use serde::Deserialize;
use serde_json::{Value, json};
use weir_model::{EventId, Timestamp};
use weir_store::query::TimeRange;
use weir_store::{Cursor, Hit, Members, SearchError, SearchRequest, Unreadable};

use super::{Scope, failed, store_timeout};
use crate::client::{Call, FieldTypes, Found, FoundHit, Shards};
use crate::document::{TIMESTAMP, WEIR, order};
use crate::http::HttpError;
use crate::section::Documents;
use crate::store::{Refused, Shared};

/// By which fields hits are sorted and times are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// `weir.time` in microseconds, then the field of `weir.order`.
    Weir { order_field: &'static str },
    /// `@timestamp` in milliseconds. Events of one of them come all at once and are sorted here.
    Barito,
}

pub(super) struct Candidates<'a> {
    shared: &'a Shared,
    request: &'a SearchRequest,
    scope: &'a Scope,
    from: Start,
    size: usize,
    seen: u64,
    shards: Shards,
}

/// Where the next page starts.
enum Start {
    Newest,
    Behind(Value),
    /// Of whole milliseconds: at this one.
    At(i64),
    Nowhere,
}

/// What the store put beside the content.
#[derive(Deserialize)]
struct WeirMember {
    time: i64,
    #[serde(default)]
    received: Option<String>,
}

/// Dates before and behind are none to a store.
const YEAR_0: i64 = -62_167_219_200_000_000;
const YEAR_10000: i64 = 253_402_300_800_000_000;
const PAGE: usize = 1_000;
/// What a store gives at once at most (`index.max_result_window`).
const LARGEST_PAGE: usize = 10_000;
/// A page beside what the search may keep.
const LEAST_ANSWER: usize = 1 << 20;

impl Order {
    pub(super) fn of(documents: Documents, types: &FieldTypes) -> Self {
        match documents {
            Documents::Barito => Self::Barito,
            Documents::Weir => {
                let is_text = types.fields.get("weir.order").is_some_and(|types| types.contains_key("text"));
                // Without weir's template the store makes a text of it, and a keyword below.
                Self::Weir { order_field: if is_text { "weir.order.keyword" } else { "weir.order" } }
            }
        }
    }

    pub(super) const fn time_field(&self) -> &'static str {
        match self {
            Self::Weir { .. } => "weir.time",
            Self::Barito => TIMESTAMP,
        }
    }

    pub(super) const fn micros_of_unit(&self) -> i64 {
        match self {
            Self::Weir { .. } => 1,
            Self::Barito => 1_000,
        }
    }

    /// Times that are within the range, to the unit.
    pub(super) fn range(&self, range: TimeRange) -> Option<Value> {
        let unit = self.micros_of_unit();
        let legal = |time: Timestamp| match self {
            Self::Weir { .. } => time,
            Self::Barito => Timestamp::from_micros(time.micros().clamp(YEAR_0, YEAR_10000)),
        };
        let range = TimeRange { from: range.from.map(legal), to: range.to.map(legal) };
        let mut bounds = serde_json::Map::new();
        if let Some(from) = range.from {
            bounds.insert("gte".to_owned(), json!(from.micros().div_euclid(unit)));
        }
        if let Some(to) = range.to {
            let last = if unit == 1 { to.micros().saturating_sub(1) } else { to.micros().div_euclid(unit) };
            bounds.insert("lte".to_owned(), json!(last));
        }
        if *self == Self::Barito && !bounds.is_empty() {
            bounds.insert("format".to_owned(), json!("epoch_millis"));
        }
        (!bounds.is_empty()).then(|| json!({ "range": { self.time_field(): bounds } }))
    }

    fn sort(&self) -> Value {
        match self {
            Self::Weir { order_field } => json!([
                { "weir.time": { "order": "desc", "unmapped_type": "long", "missing": "_last" } },
                { *order_field: { "order": "desc", "unmapped_type": "keyword" } },
            ]),
            Self::Barito => json!([
                { TIMESTAMP: { "order": "desc", "unmapped_type": "date", "format": "epoch_millis" } },
            ]),
        }
    }
}

impl<'a> Candidates<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        request: &'a SearchRequest,
        scope: &'a Scope,
        after: Option<Cursor>,
    ) -> Self {
        let from = match (after, &scope.order) {
            (None, _) => Start::Newest,
            (Some(after), Order::Weir { .. }) => {
                Start::Behind(json!([after.time.micros(), order(&after.id)]))
            }
            (Some(after), Order::Barito) => Start::At(after.time.micros().div_euclid(1_000)),
        };
        let size = request.limit.saturating_add(1).clamp(100, PAGE);
        Self { shared, request, scope, from, size, seen: 0, shards: Shards::default() }
    }

    pub(super) const fn seen(&self) -> u64 {
        self.seen
    }

    pub(super) const fn shards(&self) -> u64 {
        self.shards.total
    }

    /// What is missing since some shards did not answer.
    pub(super) fn into_unreadable(self) -> Vec<Unreadable> {
        let range = self.request.range;
        let part = |failure: crate::client::Failure| Unreadable {
            from: range.from.unwrap_or(Timestamp::MIN),
            to: range.to.unwrap_or(Timestamp::MAX),
            reason: format!("a shard of `{}` did not answer: {}", self.scope.pattern, failure.reason),
        };
        self.shards.failures.into_iter().map(part).collect()
    }

    /// The next page; absent behind the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Hit>>, SearchError> {
        loop {
            if matches!(self.from, Start::Nowhere) {
                return Ok(None);
            }
            let call = Call::search(&self.scope.pattern, &self.body());
            let most = self.request.limits.memory.saturating_mul(2).max(LEAST_ANSWER);
            let answer = match self.shared.http.ask(&call, most).await {
                Ok(answer) => answer,
                Err(HttpError::TooLarge { .. }) if self.size > 1 => {
                    self.size /= 2;
                    continue;
                }
                Err(HttpError::TooLarge { .. }) => {
                    return Err(SearchError::TooLarge { limit: self.request.limits.memory });
                }
                Err(error) => return Err(failed(error)),
            };
            if answer.status == 404 {
                return Ok(None);
            }
            if !answer.is_success() {
                return Err(failed(Refused { status: answer.status, reason: answer.reason() }));
            }
            let found: Found = serde_json::from_slice(&answer.body).map_err(failed)?;
            if found.timed_out {
                return Err(SearchError::TimedOut { limit: self.request.limits.timeout });
            }
            if let Some(page) = self.take(found)? {
                return Ok(Some(page));
            }
        }
    }

    fn body(&self) -> Value {
        let mut body = json!({
            "size": self.size,
            "track_total_hits": false,
            "sort": self.scope.order.sort(),
            "query": self.scope.query(&self.scope.narrowed.certain),
            "timeout": store_timeout(self.request.limits.timeout),
        });
        match &self.from {
            Start::Newest | Start::Nowhere => {}
            Start::Behind(sort) => body["search_after"] = sort.clone(),
            Start::At(millis) => {
                let until = json!({ "range": { TIMESTAMP: { "lte": millis, "format": "epoch_millis" } } });
                body["query"] = json!({ "bool": { "filter": [body["query"].take(), until] } });
            }
        }
        body
    }

    /// The events of an answer; absent if it has to be asked for in another way.
    fn take(&mut self, found: Found) -> Result<Option<Vec<Hit>>, SearchError> {
        let Found { shards, hits, .. } = found;
        let is_last = hits.hits.len() < self.size;
        let mut hits = hits.hits;
        self.shards = shards;
        match self.scope.order {
            Order::Weir { .. } => {
                self.from = match hits.last().filter(|_| !is_last) {
                    Some(last) => Start::Behind(json!(last.sort)),
                    None => Start::Nowhere,
                };
            }
            Order::Barito if is_last => self.from = Start::Nowhere,
            Order::Barito => {
                let millis = |hit: &FoundHit| match hit.sort.first() {
                    Some(Value::String(text)) => text.parse::<i64>().ok(),
                    Some(number) => number.as_i64(),
                    None => None,
                };
                let Some(last) = hits.last().and_then(millis) else {
                    self.from = Start::Nowhere;
                    return Ok(Some(Vec::new()));
                };
                // Of the last millisecond there may be more: it comes with the next page, whole.
                hits.retain(|hit| millis(hit) != Some(last));
                if hits.is_empty() {
                    if self.size == LARGEST_PAGE {
                        return Err(SearchError::TooLarge { limit: self.request.limits.memory });
                    }
                    self.size = (self.size * 4).min(LARGEST_PAGE);
                    return Ok(None);
                }
                self.from = Start::At(last);
            }
        }
        self.seen += hits.len() as u64;
        let mut page: Vec<Hit> = hits.into_iter().filter_map(|hit| event(hit, &self.scope.order)).collect();
        if self.scope.order == Order::Barito {
            page.sort_by(|a, b| (b.time, &b.id).cmp(&(a.time, &a.id)));
        }
        Ok(Some(page))
    }
}

/// The event of a document; absent if weir did not write it.
fn event(found: FoundHit, order: &Order) -> Option<Hit> {
    let id: EventId = found.id.parse().ok()?;
    let source = found.source?;
    let Members(mut members) = serde_json::from_str(source.get()).ok()?;
    let (time, received) = match order {
        Order::Weir { .. } => {
            let at = members.iter().position(|(key, _)| key == WEIR)?;
            let weir: WeirMember = serde_json::from_str(members[at].1.get()).ok()?;
            let own = members.get(at + 1).is_some_and(|(key, _)| key == TIMESTAMP);
            members.drain(at..=at + usize::from(own));
            (Timestamp::from_micros(weir.time), weir.received.as_deref().and_then(rfc_3339)?)
        }
        Order::Barito => {
            let (_, text) = members.iter().find(|(key, _)| key == TIMESTAMP)?;
            let time = rfc_3339(&serde_json::from_str::<String>(text.get()).ok()?)?;
            (time, time)
        }
    };
    let mut content = String::with_capacity(source.get().len());
    content.push('{');
    for (at, (key, value)) in members.iter().enumerate() {
        if at > 0 {
            content.push(',');
        }
        content.push_str(&serde_json::to_string(key).ok()?);
        content.push(':');
        content.push_str(value.get());
    }
    content.push('}');
    Some(Hit { id, time, received, content })
}

fn rfc_3339(text: &str) -> Option<Timestamp> {
    weir_store::query::parse_rfc_3339(text)
}
