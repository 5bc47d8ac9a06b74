//! `GET /api/v1/streams`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use weir_journal::{PartitionBounds, StreamInfo};

use crate::api;
use crate::failure::Failure;
use crate::route::Route;
use crate::server::Shared;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/streams", "listStreams", "All streams and what the journal holds of them", list)
            .json::<api::Streams>(),
    ]
}

async fn list(State(shared): State<Arc<Shared>>) -> Result<Json<api::Streams>, Failure> {
    let streams = shared.parts.journal.streams().await?;
    Ok(Json(api::Streams { streams: streams.iter().map(stream).collect() }))
}

fn stream(info: &StreamInfo) -> api::Stream {
    let sum = |value: fn(&PartitionBounds) -> Option<u64>| info.partitions.iter().map(value).sum();
    api::Stream {
        stream: info.name.to_string(),
        created: info.created.map(Into::into),
        events: sum(|bounds| bounds.end_event),
        retained_events: sum(retained_events),
        bytes: sum(|bounds| bounds.bytes),
        partitions: info.partitions.iter().map(partition).collect(),
    }
}

fn retained_events(bounds: &PartitionBounds) -> Option<u64> {
    Some(bounds.end_event?.saturating_sub(bounds.start_event?))
}

fn partition(bounds: &PartitionBounds) -> api::Partition {
    api::Partition {
        partition: bounds.partition.partition.0,
        incarnation: bounds.partition.incarnation.to_string(),
        start: bounds.start.0,
        end: bounds.end.0,
        start_event: bounds.start_event,
        end_event: bounds.end_event,
        bytes: bounds.bytes,
    }
}
