//! The answer to a search in its three forms.

use std::io::{self, Write};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use weir_store::{SearchResponse, TopValue, Unreadable};

use crate::parcel::{self, Pieces};
use crate::{api, hit};

/// The cursor of the next page, where the body holds hits only.
const NEXT: HeaderName = HeaderName::from_static("weir-next");

/// How many events match, where the body holds hits only.
const TOTAL: HeaderName = HeaderName::from_static("weir-total");

/// How many parts of the index the answer is without, if any, where the body holds hits only.
const UNREADABLE: HeaderName = HeaderName::from_static("weir-unreadable");

/// Writes the body and answers the headers.
pub(super) fn write(
    format: api::Format,
    response: SearchResponse,
    took: Duration,
    body: &mut Pieces,
) -> io::Result<HeaderMap> {
    let answer = api_answer(response, took);
    match format {
        api::Format::Json => {
            serde_json::to_writer(body, &answer)?;
            Ok(parcel::content("application/json"))
        }
        api::Format::Ndjson => {
            ndjson(&answer.hits, body)?;
            Ok(of_lines("application/x-ndjson", &answer))
        }
        api::Format::Csv => {
            csv(&answer.hits, body)?;
            Ok(of_lines("text/csv; charset=utf-8; header=present", &answer))
        }
    }
}

fn api_answer(response: SearchResponse, took: Duration) -> api::SearchAnswer {
    let histogram = response.histogram.map(|histogram| api::Histogram {
        interval_micros: histogram.interval.micros(),
        buckets: histogram
            .buckets
            .iter()
            .map(|bucket| api::Bucket { start: bucket.start.into(), count: bucket.count })
            .collect(),
    });
    let top = |value: TopValue| api::TopValue { value: hit::json(value.value), count: value.count };
    api::SearchAnswer {
        hits: response.hits.into_iter().map(hit::of_store).collect(),
        next: response.next.map(|cursor| cursor.to_string()),
        total: response.total,
        histogram,
        top: response.top.map(|values| values.into_iter().map(top).collect()),
        unreadable: response.unreadable.into_iter().map(unreadable).collect(),
        stats: api::SearchStats {
            rows_scanned: response.stats.rows_scanned,
            segments: response.stats.segments,
            took_micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        },
    }
}

fn unreadable(part: Unreadable) -> api::Unreadable {
    api::Unreadable { from: part.from.into(), to: part.to.into(), reason: part.reason }
}

fn ndjson(hits: &[api::Hit], body: &mut Pieces) -> io::Result<()> {
    for hit in hits {
        serde_json::to_writer(&mut *body, hit)?;
        body.write_all(b"\n")?;
    }
    Ok(())
}

fn csv(hits: &[api::Hit], body: &mut Pieces) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(body);
    writer.write_record(["id", "stream", "time", "received", "content"])?;
    for hit in hits {
        let (time, received) = (hit.time.to_string(), hit.received.to_string());
        writer.write_record([&*hit.id, &*hit.stream, &*time, &*received, hit.content.get()])?;
    }
    writer.flush()
}

fn of_lines(content_type: &'static str, answer: &api::SearchAnswer) -> HeaderMap {
    let mut headers = parcel::content(content_type);
    let next = answer.next.as_deref().and_then(|next| HeaderValue::from_str(next).ok());
    headers.extend(next.map(|next| (NEXT, next)));
    headers.extend(answer.total.map(|total| (TOTAL, HeaderValue::from(total))));
    let unreadable = Some(answer.unreadable.len()).filter(|parts| *parts > 0);
    headers.extend(unreadable.map(|parts| (UNREADABLE, HeaderValue::from(parts))));
    headers
}
