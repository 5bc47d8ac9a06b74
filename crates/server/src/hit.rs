//! Events as the API shows them.

use serde_json::value::RawValue;
use weir_model::{Content, EventId, Timestamp};
use weir_store::Hit;

use crate::api;

pub(crate) fn of_store(hit: Hit) -> api::Hit {
    api::Hit {
        stream: hit.id.0.partition.stream.to_string(),
        id: hit.id.to_string(),
        time: hit.time.into(),
        received: hit.received.into(),
        content: json(hit.content),
    }
}

pub(crate) fn of_content(
    id: &EventId,
    time: Timestamp,
    received: Timestamp,
    content: &Content<'_>,
) -> api::Hit {
    api::Hit {
        id: id.to_string(),
        stream: id.0.partition.stream.to_string(),
        time: time.into(),
        received: received.into(),
        content: json(content.to_string()),
    }
}

/// Text that is JSON; null (and an error in the log) if it is not, so that one bad value spoils no answer.
pub(crate) fn json(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap_or_else(|error| {
        tracing::error!(%error, "a value of the store is no JSON");
        RawValue::from_string("null".to_owned()).expect("null is JSON")
    })
}
