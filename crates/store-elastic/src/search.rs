//! Searches: the store narrows, the query's own matcher decides.
//!
//! The store's analysis of texts is not that of the query language. So it is asked for candidates, which are at
//! least the events that match (`narrow`), in the order of hits, and every candidate is looked at with
//! [`Query::matches`](weir_store::query::Query::matches). Hits are exact. Totals, histograms and top values are
//! exact up to [`MOST_CANDIDATES`]; beyond, totals and histograms are those of the candidates, and top values those
//! of the newest. A search for everything in a range of time is exact at any size.

mod candidates;
mod narrow;
mod tally;

use std::time::Duration;

use serde_json::{Value, json};
use weir_foundation::clock::timeout;
use weir_foundation::failure::BoxError;
use weir_store::query::Expr;
use weir_store::{Bucket, Count, Cursor, Histogram, SearchError, SearchRequest, SearchResponse, SearchStats};

use self::candidates::{Candidates, Order};
use self::narrow::Narrowed;
use self::tally::Tally;
use crate::client::{Call, Found};
use crate::section::{Documents, IndexMode};
use crate::store::Shared;

/// How many events are looked at for one answer, hits aside.
pub(crate) const MOST_CANDIDATES: u64 = 100_000;
/// Of an answer without documents.
const SMALL_ANSWER: usize = 16 << 20;
/// Within this much of 1970 the store's histogram, which counts in doubles, is exact to the microsecond.
const EXACT_MICROS: i64 = 1 << 53;

pub(crate) async fn search(shared: &Shared, request: SearchRequest) -> Result<SearchResponse, SearchError> {
    let limit = request.limits.timeout;
    let search = Search { shared, request: &request };
    match timeout(&*shared.clock, limit, search.run()).await {
        Ok(answer) if !limit.is_zero() => answer,
        _ => Err(SearchError::TimedOut { limit }),
    }
}

struct Search<'a> {
    shared: &'a Shared,
    request: &'a SearchRequest,
}

/// Where to look, and what narrows the events there.
struct Scope {
    pattern: String,
    /// Conditions that every wanted event keeps.
    filters: Vec<Value>,
    narrowed: Narrowed,
    order: Order,
}

fn failed(error: impl Into<BoxError>) -> SearchError {
    SearchError::Failed(error.into())
}

impl Search<'_> {
    async fn run(&self) -> Result<SearchResponse, SearchError> {
        let Some(scope) = self.scope().await? else { return Ok(self.nothing()) };
        let wants_all = self.request.count == Count::Exact
            || self.request.histogram.is_some()
            || self.request.top.is_some();
        let by_store = self.is_everything() && self.request.top.is_none();
        let mut tally = Tally::new(self.request);
        let after = if wants_all && !by_store { None } else { self.request.after.clone() };
        let mut candidates = Candidates::new(self.shared, self.request, &scope, after);
        let mut is_cut = false;
        while !tally.has_enough_hits() || (wants_all && !by_store) {
            if tally.has_enough_hits() && candidates.seen() >= MOST_CANDIDATES {
                is_cut = true;
                break;
            }
            let Some(page) = candidates.next().await? else { break };
            for candidate in page {
                tally.add(candidate)?;
            }
        }
        let stats = SearchStats { rows_scanned: candidates.seen(), segments: candidates.shards() };
        let unreadable = candidates.into_unreadable();
        let mut response = tally.finish();
        if wants_all && (by_store || is_cut) {
            self.count_by_store(&scope, &mut response).await?;
        }
        Ok(SearchResponse { stats, unreadable, ..response })
    }

    fn nothing(&self) -> SearchResponse {
        Tally::new(self.request).finish()
    }

    /// Whether the store's own counts are exact.
    fn is_everything(&self) -> bool {
        let exact =
            |bound: Option<weir_model::Timestamp>| bound.is_some_and(|at| at.micros().abs() < EXACT_MICROS);
        let range = self.request.range;
        let has_exact_times = self.request.histogram.is_none() || (exact(range.from) && exact(range.to));
        *self.request.query.expr() == Expr::All
            && self.shared.settings.documents == Documents::Weir
            && has_exact_times
    }

    /// Absent if there is no index of the prefix.
    async fn scope(&self) -> Result<Option<Scope>, SearchError> {
        let names = &self.shared.names;
        let pattern = names.pattern(&self.request.prefix);
        let mut filters = Vec::new();
        if names.mode != IndexMode::DataStream {
            // The pattern of `a` matches indices of `a-b` too.
            let listed = self.shared.listed(&pattern).await.map_err(failed)?;
            let of_prefix = listed.into_iter().filter(|(_, info)| info.prefix == self.request.prefix);
            let of_prefix: Vec<String> = of_prefix.map(|(name, _)| name).collect();
            if of_prefix.is_empty() {
                return Ok(None);
            }
            filters.push(json!({ "terms": { "_index": of_prefix } }));
        }
        let fields = narrow::fields(self.request.query.expr());
        let call = Call::fields(&pattern, &fields);
        let answer = self.shared.ask(&call, SMALL_ANSWER).await.map_err(failed)?;
        let types = serde_json::from_slice(&answer.body).map_err(failed)?;
        let order = Order::of(self.shared.settings.documents, &types);
        filters.extend(order.range(self.request.range));
        let narrowed = narrow::narrow(self.request.query.expr(), &types);
        Ok(Some(Scope { pattern, filters, narrowed, order }))
    }

    /// Puts the store's counts of what it takes for matches into the answer.
    async fn count_by_store(&self, scope: &Scope, response: &mut SearchResponse) -> Result<(), SearchError> {
        let mut body = json!({
            "size": 0,
            "track_total_hits": true,
            "query": scope.query(&scope.narrowed.likely),
            "timeout": store_timeout(self.request.limits.timeout),
        });
        if let Some(interval) = self.request.histogram {
            let width = interval.micros() / scope.order.micros_of_unit();
            body["aggs"] = json!({ "times": { "histogram": {
                "field": scope.order.time_field(), "interval": width.max(1), "min_doc_count": 1,
            } } });
        }
        let answer =
            self.shared.ask(&Call::search(&scope.pattern, &body), SMALL_ANSWER).await.map_err(failed)?;
        let found: Found = serde_json::from_slice(&answer.body).map_err(failed)?;
        if found.timed_out {
            return Err(SearchError::TimedOut { limit: self.request.limits.timeout });
        }
        if self.request.count == Count::Exact {
            response.total = Some(found.hits.total.value);
        }
        if let Some(interval) = self.request.histogram {
            let bucket = |bucket: &crate::client::TimeBucket| {
                let micros = bucket.key as i64 * scope.order.micros_of_unit();
                Bucket {
                    start: interval.bucket(weir_model::Timestamp::from_micros(micros)),
                    count: bucket.doc_count,
                }
            };
            let buckets = found.aggregations.times.buckets.iter().map(bucket).collect();
            response.histogram = Some(Histogram { interval, buckets });
        }
        Ok(())
    }
}

impl Scope {
    fn query(&self, narrowing: &Option<Value>) -> Value {
        let filters: Vec<&Value> = self.filters.iter().chain(narrowing).collect();
        json!({ "bool": { "filter": filters } })
    }
}

/// What the store is told: a little less, so that its answer is here in time.
fn store_timeout(limit: Duration) -> String {
    format!("{}ms", (limit.as_millis() * 9 / 10).max(1))
}

/// Where the page that ends with this hit goes on.
fn cursor(hit: &weir_store::Hit) -> Cursor {
    Cursor { time: hit.time, id: hit.id.clone() }
}
