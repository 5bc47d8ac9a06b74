use std::collections::BTreeMap;

use weir_model::{Content, EventBatchBuilder, Timestamp};
use weir_store::{
    Bucket, Count, Histogram, Hit, SearchError, SearchRequest, SearchResponse, SearchStats, TopValue,
    append_json, values_under,
};

use super::cursor;

/// What was found so far.
pub(super) struct Tally<'a> {
    request: &'a SearchRequest,
    hits: Vec<Hit>,
    has_more: bool,
    total: u64,
    buckets: BTreeMap<Timestamp, u64>,
    top: BTreeMap<String, u64>,
    /// Bytes of what is kept.
    memory: usize,
}

/// Beside its text, about.
const ENTRY: usize = 64;

impl<'a> Tally<'a> {
    pub(super) fn new(request: &'a SearchRequest) -> Self {
        Self {
            request,
            hits: Vec::new(),
            has_more: false,
            total: 0,
            buckets: BTreeMap::new(),
            top: BTreeMap::new(),
            memory: 0,
        }
    }

    /// Takes the next candidate in the order of hits, if it matches.
    pub(super) fn add(&mut self, candidate: Hit) -> Result<(), SearchError> {
        if !self.request.range.contains(candidate.time) {
            return Ok(());
        }
        let mut builder = EventBatchBuilder::with_capacity(1, candidate.content.len());
        builder.begin_event();
        if append_json(&candidate.content, &mut builder).is_err() {
            // Whoever wrote it, it is no event.
            return Ok(());
        }
        let Some(content) = builder.current() else { return Ok(()) };
        if !self.request.query.matches(content) {
            return Ok(());
        }
        self.total += 1;
        if let Some(interval) = self.request.histogram {
            *self.buckets.entry(interval.bucket(candidate.time)).or_default() += 1;
        }
        self.add_values(content);
        let is_behind = |hit: &Hit| {
            self.request.after.as_ref().is_none_or(|after| (hit.time, &hit.id) < (after.time, &after.id))
        };
        if is_behind(&candidate) {
            if self.hits.len() < self.request.limit {
                self.memory += candidate.content.len();
                self.hits.push(candidate);
            } else {
                self.has_more = true;
            }
        }
        match self.memory > self.request.limits.memory {
            true => Err(SearchError::TooLarge { limit: self.request.limits.memory }),
            false => Ok(()),
        }
    }

    fn add_values(&mut self, content: Content<'_>) {
        let Some(top) = &self.request.top else { return };
        for value in values_under(content, &top.field) {
            let size = value.len() + ENTRY;
            let count = self.top.entry(value).or_insert_with(|| {
                self.memory += size;
                0
            });
            *count += 1;
        }
    }

    /// Whether the page is full and it is known whether there is another.
    pub(super) fn has_enough_hits(&self) -> bool {
        self.request.limit == 0 || self.has_more
    }

    pub(super) fn finish(self) -> SearchResponse {
        let request = self.request;
        let next = self.hits.last().filter(|_| self.has_more).map(cursor);
        let buckets = self.buckets.into_iter().map(|(start, count)| Bucket { start, count }).collect();
        let top = request.top.as_ref().map(|wanted| {
            let mut top: Vec<_> =
                self.top.into_iter().map(|(value, count)| TopValue { value, count }).collect();
            // Stable: values of one count stay in the order of their texts.
            top.sort_by_key(|value| std::cmp::Reverse(value.count));
            top.truncate(wanted.limit);
            top
        });
        SearchResponse {
            hits: self.hits,
            next,
            total: (request.count == Count::Exact).then_some(self.total),
            histogram: request.histogram.map(|interval| Histogram { interval, buckets }),
            top,
            unreadable: Vec::new(),
            stats: SearchStats::default(),
        }
    }
}
