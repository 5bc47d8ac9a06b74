use std::ops::Range;

use weir_model::{EventBatchBuilder, EventFault, Timestamp, Value};

use super::Outline;
use super::content::{self, Merged};
use crate::context::Context;
use crate::protobuf::{Cursor, Field, Malformed};
use crate::time::parse_rfc3339;

/// A record that is one `producer.Timber`: the event's original is the whole value.
pub(super) fn outline_timber<'a>(mut timber: Cursor<'a>, outline: &mut Outline<'a>) -> Result<(), Malformed> {
    outline.originals.push(timber.range_of_rest());
    let mut context = Context::default();
    while let Some(field) = timber.next_field()? {
        if let Field::Bytes(1, value) = field {
            context.merge(timber.inner(value))?;
        }
    }
    outline.index_prefix = context.index_prefix;
    outline.app_secret = context.app_secret.unwrap_or_default();
    Ok(())
}

/// A record that is a `producer.TimberCollection`: the contexts of its items count for nothing.
pub(super) fn outline_collection<'a>(
    mut collection: Cursor<'a>,
    outline: &mut Outline<'a>,
) -> Result<(), Malformed> {
    let mut context = Context::default();
    while let Some(field) = collection.next_field()? {
        match field {
            Field::Bytes(1, value) => context.merge(collection.inner(value))?,
            Field::Bytes(2, value) => outline.originals.push(collection.range_of(value)),
            _ => {}
        }
    }
    outline.index_prefix = context.index_prefix;
    outline.app_secret = context.app_secret.unwrap_or_default();
    Ok(())
}

pub(super) fn decode(
    builder: &mut EventBatchBuilder,
    value: &[u8],
    original: Range<u32>,
    received: Timestamp,
) {
    builder.begin_event();
    let (timestamp, content) = match parts(super::slice(value, &original)) {
        Ok(parts) => parts,
        Err(malformed) => return builder.reject_event(received, original, malformed.into()),
    };
    let time = parse_rfc3339(timestamp);
    let Some(content) = content else {
        return builder.finish_event(time.unwrap_or(received), original);
    };
    match content::object(builder, &content) {
        Ok(()) => {
            let time = time.or_else(|| time_of_content(builder)).unwrap_or(received);
            builder.finish_event(time, original);
        }
        Err(fault) => builder.reject_event(time.unwrap_or(received), original, fault),
    }
}

/// The timestamp and the content of a `producer.Timber`.
fn parts(timber: &[u8]) -> Result<(&[u8], Option<Merged<'_>>), Malformed> {
    let mut timestamp: &[u8] = b"";
    let mut content = None;
    let mut cursor = Cursor::new(timber);
    while let Some(field) = cursor.next_field()? {
        match field {
            Field::Bytes(2, text) => timestamp = text,
            Field::Bytes(3, part) => Merged::add(&mut content, part),
            _ => {}
        }
    }
    Ok((timestamp, content))
}

fn time_of_content(builder: &EventBatchBuilder) -> Option<Timestamp> {
    match builder.current()?.get("@timestamp") {
        Some(Value::Str(text)) => parse_rfc3339(text.as_bytes()),
        _ => None,
    }
}

impl From<Malformed> for EventFault {
    fn from(malformed: Malformed) -> Self {
        Self::Undecodable(malformed.to_string())
    }
}
