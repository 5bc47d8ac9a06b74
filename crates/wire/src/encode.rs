//! Writing records: the batches of weir's own doors, and single events that are taken out of the dead
//! letters.

use bytes::Bytes;
use weir_model::{Array, Content, IndexPrefix, RecordFormat, Timestamp, Value};

use crate::context::Context;
use crate::protobuf::write::{
    FIXED64, VARINT, bytes_field_len, put_bytes, put_bytes_header, put_varint, tag,
};
use crate::raw::RawEvent;

/// Collects events into the value of a record of format [`RecordFormat::Events`].
#[derive(Debug)]
pub struct EventsBuilder {
    out: Vec<u8>,
    /// Length of `out` before the first event.
    head: usize,
    count: u32,
}

impl EventsBuilder {
    #[must_use]
    pub fn new(index_prefix: &IndexPrefix) -> Self {
        Self::with_capacity(index_prefix, 0)
    }

    /// `text` is how many bytes of events to expect.
    #[must_use]
    pub fn with_capacity(index_prefix: &IndexPrefix, text: usize) -> Self {
        let mut out = Vec::with_capacity(bytes_field_len(index_prefix.as_str().len()) + text + text / 8);
        put_bytes(&mut out, 1, index_prefix.as_str().as_bytes());
        Self { head: out.len(), out, count: 0 }
    }

    /// An event whose content is `text`, which must be one JSON object; what is not is a dead letter once
    /// it is decoded. Without a time it is filed under the time of receipt.
    pub fn push_json(&mut self, text: &str, time: Option<Timestamp>) {
        self.push(2, text, time);
    }

    /// An event whose content is `{"message": line}`.
    pub fn push_line(&mut self, line: &str, time: Option<Timestamp>) {
        self.push(3, line, time);
    }

    fn push(&mut self, number: u8, text: &str, time: Option<Timestamp>) {
        let time_len = if time.is_some() { 1 + size_of::<i64>() } else { 0 };
        put_bytes_header(&mut self.out, 2, time_len + bytes_field_len(text.len()));
        if let Some(time) = time {
            self.out.push(tag(1, FIXED64));
            self.out.extend_from_slice(&time.micros().to_le_bytes());
        }
        put_bytes(&mut self.out, number, text.as_bytes());
        self.count += 1;
    }

    /// An event of another record, as it is; with this time if it has none.
    pub fn push_raw(&mut self, event: RawEvent<'_>, time: Timestamp) {
        event.put(&mut self.out, time);
        self.count += 1;
    }

    /// How many events there are so far.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.count
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes the record's value has so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// Starts over with the same index prefix and the memory that is there.
    pub fn clear(&mut self) {
        self.out.truncate(self.head);
        self.count = 0;
    }

    /// The value of the record and how many events it holds.
    #[must_use]
    pub fn finish(self) -> (Bytes, u32) {
        (self.out.into(), self.count)
    }
}

/// The same record of format [`RecordFormat::Events`] with another index prefix. What is in it is not looked at: of a
/// field that comes twice in protobuf the last one counts. It takes no more memory than the record, if nobody else has it.
#[must_use]
pub fn filed_under(index_prefix: &IndexPrefix, record: Bytes) -> Bytes {
    let prefix = index_prefix.as_str().as_bytes();
    let mut out = Vec::from(record);
    out.reserve_exact(bytes_field_len(prefix.len()));
    put_bytes(&mut out, 1, prefix);
    out.into()
}

/// A record with the one event whose original bytes a dead letter kept: `format` is that of the record it
/// came in. `context` replaces the one that the event came with; [`RecordFormat::Events`] takes the index
/// prefix from it and nothing else.
#[must_use]
pub fn single_event_record(
    format: RecordFormat,
    original: &[u8],
    context: &Context<'_>,
) -> (RecordFormat, Bytes) {
    let mut out = Vec::with_capacity(original.len() + 256);
    let format = match format {
        RecordFormat::Timber | RecordFormat::TimberCollection => {
            put_bytes(&mut out, 1, &context.to_protobuf());
            RecordFormat::TimberCollection
        }
        RecordFormat::Events => {
            put_bytes(&mut out, 1, context.index_prefix.as_bytes());
            RecordFormat::Events
        }
    };
    put_bytes(&mut out, 2, original);
    (format, out.into())
}

/// The bytes of an event whose content is `content`, as one in a record of this format has them: what a dead
/// letter keeps in the place of bytes that it must not keep. Timbers have doubles for numbers and nothing else.
#[must_use]
pub fn encode_event(format: RecordFormat, time: Timestamp, content: Content<'_>) -> Bytes {
    let mut out = Vec::new();
    match format {
        RecordFormat::Timber | RecordFormat::TimberCollection => {
            put_bytes(&mut out, 2, time.to_string().as_bytes());
            put_bytes(&mut out, 3, &structure(content));
        }
        RecordFormat::Events => {
            out.push(tag(1, FIXED64));
            out.extend_from_slice(&time.micros().to_le_bytes());
            put_bytes(&mut out, 2, content.to_string().as_bytes());
        }
    }
    out.into()
}

/// A `google.protobuf.Struct`. Recursion ends where contents do, at [`weir_model::MAX_DEPTH`].
fn structure(object: Content<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in object.entries() {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, key.as_bytes());
        put_bytes(&mut entry, 2, &kind(value));
        put_bytes(&mut out, 1, &entry);
    }
    out
}

/// A `google.protobuf.ListValue`.
fn list(array: Array<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    array.elements().for_each(|element| put_bytes(&mut out, 1, &kind(element)));
    out
}

/// A `google.protobuf.Value`.
fn kind(value: Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let varint = |out: &mut Vec<u8>, number, value| {
        out.push(tag(number, VARINT));
        put_varint(out, value);
    };
    match value {
        Value::Null => varint(&mut out, 1, 0),
        Value::Int(value) => put_double(&mut out, value as f64),
        Value::Float(value) => put_double(&mut out, value),
        // Beyond all doubles it is infinite, which is the string that jsonpb would make of it.
        Value::Number(text) => put_double(&mut out, text.parse().unwrap_or(f64::NAN)),
        Value::Str(text) => put_bytes(&mut out, 3, text.as_bytes()),
        Value::Bool(value) => varint(&mut out, 4, u64::from(value)),
        Value::Object(object) => put_bytes(&mut out, 5, &structure(object)),
        Value::Array(array) => put_bytes(&mut out, 6, &list(array)),
    }
    out
}

fn put_double(out: &mut Vec<u8>, value: f64) {
    out.push(tag(2, FIXED64));
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

#[cfg(test)]
mod tests;
