//! The answer to a search in its three forms.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use weir_store::{SearchResponse, TopValue, Unreadable};

use crate::failure::Failure;
use crate::{api, codes, hit};

/// The cursor of the next page, where the body holds hits only.
const NEXT: HeaderName = HeaderName::from_static("weir-next");

/// How many events match, where the body holds hits only.
const TOTAL: HeaderName = HeaderName::from_static("weir-total");

/// How many parts of the index the answer is without, if any, where the body holds hits only.
const UNREADABLE: HeaderName = HeaderName::from_static("weir-unreadable");

pub(super) fn answer(
    format: api::Format,
    response: SearchResponse,
    took: Duration,
) -> Result<Response, Failure> {
    let answer = api_answer(response, took);
    match format {
        api::Format::Json => Ok(Json(answer).into_response()),
        api::Format::Ndjson => Ok(lines("application/x-ndjson", ndjson(&answer.hits)?, &answer)),
        api::Format::Csv => Ok(lines("text/csv; charset=utf-8; header=present", csv(&answer.hits)?, &answer)),
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

fn ndjson(hits: &[api::Hit]) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    for hit in hits {
        serde_json::to_writer(&mut body, hit).map_err(|error| unwritable(&error))?;
        body.push(b'\n');
    }
    Ok(body)
}

fn csv(hits: &[api::Hit]) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(["id", "stream", "time", "received", "content"])
        .map_err(|error| unwritable(&error))?;
    for hit in hits {
        let (time, received) = (hit.time.to_string(), hit.received.to_string());
        let record = [&*hit.id, &*hit.stream, &*time, &*received, hit.content.get()];
        writer.write_record(record).map_err(|error| unwritable(&error))?;
    }
    writer.into_inner().map_err(|error| unwritable(error.error()))
}

fn lines(content_type: &'static str, body: Vec<u8>, answer: &api::SearchAnswer) -> Response {
    let mut response = ([(header::CONTENT_TYPE, content_type)], body).into_response();
    let next = answer.next.as_deref().and_then(|next| HeaderValue::from_str(next).ok());
    response.headers_mut().extend(next.map(|next| (NEXT, next)));
    response.headers_mut().extend(answer.total.map(|total| (TOTAL, HeaderValue::from(total))));
    let unreadable = Some(answer.unreadable.len()).filter(|parts| *parts > 0);
    response.headers_mut().extend(unreadable.map(|parts| (UNREADABLE, HeaderValue::from(parts))));
    response
}

fn unwritable(error: &(dyn std::error::Error + 'static)) -> Failure {
    tracing::error!(%error, "an answer could not be written");
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, codes::STORE_FAILED, "the answer could not be written")
}
