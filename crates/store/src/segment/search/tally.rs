//! What needs every matching row: the count, the histogram, the most frequent values.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, Int64Array, StringArray};
use arrow_buffer::BooleanBuffer;
use weir_model::{Timestamp, Value};

use super::super::field::{Kind, plain_path};
use super::super::json;
use super::eval::{matching, spread};
use super::rebuild::{Rebuilder, scalar};
use super::run::{Candidate, Context, Interruption, Part, Window};
use super::span::Span;
use super::unit::Unit;
use crate::error::SearchError;
use crate::search::{Bucket, Count, Histogram, Interval, TopValue};
use crate::top::values_under;

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) total: Option<u64>,
    pub(super) histogram: Option<Histogram>,
    pub(super) top: Option<Vec<TopValue>>,
}

struct Counting<'a> {
    context: &'a Context<'a>,
    total: u64,
    buckets: BTreeMap<i64, u64>,
    values: HashMap<String, u64>,
}

/// Bytes that an entry of the values counts for beside its text.
const ENTRY: usize = 64;

/// Bytes that a bucket counts for: here, and as text in the answer.
const BUCKET: usize = 256;

pub(super) fn tally(context: &Context<'_>, parts: &[Part<'_>]) -> Result<Tally, SearchError> {
    let request = context.request;
    if request.count == Count::No && request.histogram.is_none() && request.top.is_none() {
        return Ok(Tally::default());
    }
    let mut counting = Counting { context, total: 0, buckets: BTreeMap::new(), values: HashMap::new() };
    for part in parts {
        for candidate in context.readable(context.open(part))? {
            for span in spans(&candidate, context.window()) {
                context.guard.check()?;
                context.readable(counting.span(&candidate, &span))?;
            }
        }
    }
    Ok(counting.finish())
}

/// Runs of neighbouring pages that may hold a match; page by page if texts are looked through, which are read
/// without a copy then.
fn spans(candidate: &Candidate, window: Window) -> Vec<Span> {
    let unit = &candidate.unit;
    let leftovers = unit.has_leftovers();
    let joined = !candidate.bound.has_texts(unit);
    let mut spans: Vec<std::ops::Range<usize>> = Vec::new();
    for page in 0..unit.pages() {
        let (min, max) = unit.page_times(page);
        if !window.overlaps(min, max) || !(leftovers || candidate.bound.is_possible(unit, page)) {
            continue;
        }
        match spans.last_mut() {
            Some(span) if joined && span.end == page => span.end += 1,
            _ => spans.push(page..page + 1),
        }
    }
    spans.into_iter().map(|pages| Span::new(unit, pages)).collect()
}

impl Counting<'_> {
    fn span(&mut self, candidate: &Candidate, span: &Span) -> Result<(), Interruption> {
        let request = self.context.request;
        self.context.scanned(span.rows.len());
        let mut rows = matching(&request.query, &candidate.bound, span, &request.prefix)?;
        let window = self.context.window();
        let inside = span.pages.clone().all(|page| {
            let (min, max) = span.unit.page_times(page);
            window.covers(min, max)
        });
        if !inside {
            let times = span.times()?;
            rows =
                BooleanBuffer::collect_bool(rows.len(), |row| rows.value(row) && window.contains(times[row]));
        }
        let count = rows.count_set_bits();
        if count == 0 {
            return Ok(());
        }
        self.total += count as u64;
        if let Some(interval) = request.histogram {
            self.histogram(interval, span, &rows)?;
        }
        if let Some(top) = &request.top {
            self.top(&top.field, span, &rows)?;
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        interval: Interval,
        span: &Span,
        rows: &BooleanBuffer,
    ) -> Result<(), Interruption> {
        let bucket = |time: i64| interval.bucket(Timestamp::from_micros(time)).micros();
        for page in span.pages.clone() {
            let of_page = span.unit.page(page);
            let start = of_page.start - span.rows.start;
            let rows = rows.slice(start, of_page.len());
            let (min, max) = span.unit.page_times(page);
            if bucket(min) == bucket(max) {
                self.add(bucket(min), rows.count_set_bits() as u64)?;
                continue;
            }
            let times = span.times()?;
            let mut run: Option<(i64, u64)> = None;
            for row in rows.set_indices() {
                let start = bucket(times[start + row]);
                match &mut run {
                    Some((bucket, count)) if *bucket == start => *count += 1,
                    _ => {
                        if let Some((bucket, count)) = run.replace((start, 1)) {
                            self.add(bucket, count)?;
                        }
                    }
                }
            }
            if let Some((bucket, count)) = run {
                self.add(bucket, count)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, bucket: i64, count: u64) -> Result<(), SearchError> {
        if count > 0 {
            let entry = self.buckets.entry(bucket);
            if let Entry::Vacant(_) = entry {
                self.context.guard.hold(BUCKET)?;
            }
            *entry.or_default() += count;
        }
        Ok(())
    }

    fn top(&mut self, field: &str, span: &Span, rows: &BooleanBuffer) -> Result<(), Interruption> {
        if needs_contents(field, &span.unit) {
            return self.top_of_contents(field, span, rows);
        }
        for (index, of_unit) in span.unit.fields().into_iter().enumerate() {
            if of_unit.kind == Kind::Null || plain_path(&of_unit.path) != field {
                continue;
            }
            let column = span.column(index)?;
            if let Some(dictionary) = column.as_any().downcast_ref::<DictionaryArray<Int32Type>>() {
                self.top_of_dictionary(dictionary, rows)?;
            } else {
                self.top_of_column(of_unit.kind, &column, rows)?;
            }
        }
        Ok(())
    }

    fn top_of_dictionary(
        &mut self,
        dictionary: &DictionaryArray<Int32Type>,
        rows: &BooleanBuffer,
    ) -> Result<(), SearchError> {
        let Some(texts) = dictionary.values().as_any().downcast_ref::<StringArray>() else { return Ok(()) };
        let mut counts = vec![0u64; texts.len()];
        let keys = dictionary.keys();
        for row in rows.set_indices().filter(|row| keys.is_valid(*row)) {
            counts[usize::try_from(keys.value(row)).expect("keys are not negative")] += 1;
        }
        for (entry, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            self.value(Value::Str(texts.value(entry)).to_string(), count)?;
        }
        Ok(())
    }

    fn top_of_column(
        &mut self,
        kind: Kind,
        column: &ArrayRef,
        rows: &BooleanBuffer,
    ) -> Result<(), SearchError> {
        if let Some(ints) = column.as_any().downcast_ref::<Int64Array>() {
            return self.top_of_ints(ints, rows);
        }
        for row in rows.set_indices() {
            if let Some(value) = scalar(kind, column, row) {
                self.value(value.to_string(), 1)?;
            }
        }
        Ok(())
    }

    /// Counts a value in place as long as no other takes its slot.
    fn top_of_ints(&mut self, ints: &Int64Array, rows: &BooleanBuffer) -> Result<(), SearchError> {
        const SLOTS: usize = 1024;
        let mut counts: Vec<(i64, u64)> = vec![(0, 0); SLOTS];
        let mut displaced: Vec<(i64, u64)> = Vec::new();
        let values = ints.values();
        let mut count = |row: usize| {
            let slot = &mut counts[spread(values[row]) % SLOTS];
            if slot.0 != values[row] {
                let before = std::mem::replace(slot, (values[row], 0));
                displaced.extend(Some(before).filter(|(_, count)| *count > 0));
            }
            slot.1 += 1;
        };
        match ints.nulls() {
            None => rows.set_indices().for_each(&mut count),
            Some(nulls) => rows.set_indices().filter(|row| nulls.is_valid(*row)).for_each(&mut count),
        }
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        for (value, count) in displaced.into_iter().chain(counts) {
            self.value(value.to_string(), count)?;
        }
        Ok(())
    }

    /// Where values may be inside arrays or beside the columns, contents are looked at one by one.
    fn top_of_contents(
        &mut self,
        field: &str,
        span: &Span,
        rows: &BooleanBuffer,
    ) -> Result<(), Interruption> {
        let rebuilder = Rebuilder::new(&span.unit, &span.rows(), span.columns())?;
        for row in rows.set_indices() {
            let text = rebuilder.content(row);
            let batch = json::content(&self.context.request.prefix, &[], &text);
            let Some(content) =
                batch.as_ref().and_then(|batch| batch.get(0)).and_then(|event| event.content.ok())
            else {
                continue;
            };
            for value in values_under(content, field) {
                self.value(value, 1)?;
            }
        }
        Ok(())
    }

    fn value(&mut self, value: String, count: u64) -> Result<(), SearchError> {
        if let Some(known) = self.values.get_mut(&value) {
            *known += count;
            return Ok(());
        }
        self.context.guard.hold(value.len() + ENTRY)?;
        self.values.insert(value, count);
        Ok(())
    }

    fn finish(self) -> Tally {
        let request = self.context.request;
        let histogram = request.histogram.map(|interval| Histogram {
            interval,
            buckets: self
                .buckets
                .into_iter()
                .map(|(start, count)| Bucket { start: Timestamp::from_micros(start), count })
                .collect(),
        });
        let top = request.top.as_ref().map(|top| {
            let mut values: Vec<TopValue> =
                self.values.into_iter().map(|(value, count)| TopValue { value, count }).collect();
            values.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
            values.truncate(top.limit);
            values
        });
        let total = (request.count == Count::Exact).then_some(self.total);
        Tally { total, histogram, top }
    }
}

/// Whether columns alone do not tell which values of a field an event has.
fn needs_contents(field: &str, unit: &Unit) -> bool {
    let reaches_into =
        |path: &str| path == field || field.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    let fields = unit.fields();
    let paths: BTreeSet<&str> =
        fields.iter().map(|field| &*field.path).filter(|path| plain_path(path) == field).collect();
    unit.has_leftovers()
        || paths.len() > 1
        || fields.iter().any(|field| field.kind == Kind::Json && reaches_into(&plain_path(&field.path)))
}
