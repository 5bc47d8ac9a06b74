//! JSON text back into a content, for what has no columns of its own.

use bytes::Bytes;
use weir_model::{EventBatch, EventBatchBuilder, IndexPrefix, Timestamp};

use crate::json::append_json;

/// A batch of one event whose content is `json` under `keys`; absent if `json` is not JSON, or an object is
/// wanted and it is none.
pub(super) fn content(prefix: &IndexPrefix, keys: &[String], json: &str) -> Option<EventBatch> {
    let mut builder = EventBatchBuilder::with_capacity(1, json.len());
    builder.begin_event();
    for key in keys {
        builder.start_object().ok()?;
        builder.key(key).ok()?;
    }
    append_json(json, &mut builder).ok()?;
    for _ in keys {
        builder.end().ok()?;
    }
    builder.finish_event(Timestamp::default(), 0..0);
    Some(builder.build(prefix.clone(), Bytes::new()))
}
