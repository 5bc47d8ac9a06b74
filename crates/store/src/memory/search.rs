use std::cmp::Reverse;
use std::collections::BTreeMap;

use weir_model::{EventId, Position, StreamPartition, Timestamp};

use super::partition::{Partition, Row};
use crate::error::SearchError;
use crate::search::{
    Bucket, Count, Cursor, Histogram, Hit, SearchRequest, SearchResponse, SearchStats, TopRequest, TopValue,
};
use crate::top::values_under;

/// An event that matches, in the order of hits reversed: by time, then by id.
struct Match<'a> {
    time: Timestamp,
    id: EventId,
    row: &'a Row,
}

pub(super) fn answer(
    partitions: &BTreeMap<StreamPartition, Partition>,
    request: &SearchRequest,
) -> Result<SearchResponse, SearchError> {
    if request.limits.timeout.is_zero() {
        return Err(SearchError::TimedOut { limit: request.limits.timeout });
    }
    let all = || rows(partitions, request);
    let mut matches: Vec<Match<'_>> = all()
        .filter(|(_, row)| request.range.contains(row.time) && request.query.matches(row.content()))
        .map(|(position, row)| Match { time: row.time, id: EventId(position), row })
        .collect();
    matches.sort_by(|a, b| (b.time, &b.id).cmp(&(a.time, &a.id)));
    let histogram = request.histogram.map(|interval| {
        let mut buckets: BTreeMap<Timestamp, u64> = BTreeMap::new();
        for found in &matches {
            *buckets.entry(interval.bucket(found.time)).or_default() += 1;
        }
        let buckets = buckets.into_iter().map(|(start, count)| Bucket { start, count }).collect();
        Histogram { interval, buckets }
    });
    let (hits, next) = page(&matches, request);
    let memory: usize = hits.iter().map(|hit| hit.content.len()).sum();
    if memory > request.limits.memory {
        return Err(SearchError::TooLarge { limit: request.limits.memory });
    }
    Ok(SearchResponse {
        hits,
        next,
        total: match request.count {
            Count::Exact => Some(matches.len() as u64),
            Count::No => None,
        },
        histogram,
        top: request.top.as_ref().map(|top| top_values(&matches, top)),
        unreadable: Vec::new(),
        stats: SearchStats { rows_scanned: all().count() as u64, segments: 0 },
    })
}

fn rows<'a>(
    partitions: &'a BTreeMap<StreamPartition, Partition>,
    request: &'a SearchRequest,
) -> impl Iterator<Item = (Position, &'a Row)> {
    let located = partitions.iter().flat_map(|(name, partition)| {
        partition.rows.iter().map(move |((offset, index), row)| {
            (Position { partition: name.clone(), offset: *offset, index: *index }, row)
        })
    });
    located.filter(|(_, row)| *row.prefix() == request.prefix)
}

fn page(matches: &[Match<'_>], request: &SearchRequest) -> (Vec<Hit>, Option<Cursor>) {
    let is_after = |found: &&Match<'_>| {
        request.after.as_ref().is_none_or(|after| (found.time, &found.id) < (after.time, &after.id))
    };
    let mut rest = matches.iter().filter(is_after);
    let hits: Vec<Hit> = rest.by_ref().take(request.limit).map(hit).collect();
    let next = match (rest.next(), hits.last()) {
        (Some(_), Some(last)) => Some(Cursor { time: last.time, id: last.id.clone() }),
        _ => None,
    };
    (hits, next)
}

fn hit(found: &Match<'_>) -> Hit {
    Hit {
        id: found.id.clone(),
        time: found.time,
        received: found.row.received,
        content: found.row.content().to_string(),
    }
}

fn top_values(matches: &[Match<'_>], request: &TopRequest) -> Vec<TopValue> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for found in matches {
        for value in values_under(found.row.content(), &request.field) {
            *counts.entry(value).or_default() += 1;
        }
    }
    let mut top: Vec<TopValue> = counts.into_iter().map(|(value, count)| TopValue { value, count }).collect();
    // Stable: values of one count stay in the order of their texts.
    top.sort_by_key(|value| Reverse(value.count));
    top.truncate(request.limit);
    top
}
