//! A record as a Kafka message.
//!
//! | part | content |
//! |---|---|
//! | value | the record's value as it is: protobuf of `producer.Timber`, `producer.TimberCollection` or `weir.v1.Events` |
//! | key | what the caller gave, mostly none |
//! | timestamp | when it was sent |
//! | header `message_format` | `TimberCollection` or `Events`; absent means `Timber`, and so does any other text |
//! | header `weir-received` | the time of receipt, microseconds since 1970, decimal; absent if it is one `Timber` of no known batch |
//! | header `weir-events` | how many events the value holds, decimal; absent if it is one `Timber` |
//! | header `weir-mark` | of a source's last record of a batch: source and where it ends, 48 hexadecimal digits |
//! | header `weir-batch-id` | id and digest of the client's batch, 64 hexadecimal digits; absent if it had no id |
//!
//! barito-flow writes and reads value and `message_format` only; its readers ignore the others, and here a
//! header that is missing or makes no sense counts as absent: the time of receipt is then the message's
//! timestamp. Where a header is there twice, the first counts.

use bytes::Bytes;
use weir_model::{BatchTag, Mark, Record, RecordFormat, SourceId, Timestamp};

pub const MESSAGE_FORMAT: &str = "message_format";
pub const RECEIVED: &str = "weir-received";
pub const EVENTS: &str = "weir-events";
pub const BATCH_ID: &str = "weir-batch-id";
pub const MARK: &str = "weir-mark";

/// Calls `put` with the header that sets a mark.
pub(crate) fn write_mark(Mark { source, end }: Mark, put: impl FnOnce(&str, &[u8])) {
    put(MARK, format!("{:032x}{end:016x}", source.0).as_bytes());
}

/// Whether a record has headers of its own. One `Timber` of no known batch has none: it is barito-flow's record byte by byte,
/// and its time of receipt is the message's timestamp.
pub(crate) fn has_headers(record: &Record) -> bool {
    record.format != RecordFormat::Timber || record.batch.is_some()
}

/// Calls `put` with each header of a record.
pub(crate) fn write_headers(record: &Record, mut put: impl FnMut(&str, &[u8])) {
    if !has_headers(record) {
        return;
    }
    if record.format != RecordFormat::Timber {
        put(MESSAGE_FORMAT, record.format.as_str().as_bytes());
        if let Some(events) = record.events {
            put(EVENTS, events.to_string().as_bytes());
        }
    }
    put(RECEIVED, record.received.micros().to_string().as_bytes());
    if let Some(BatchTag { id, digest }) = record.batch {
        put(BATCH_ID, format!("{id:032x}{digest:032x}").as_bytes());
    }
}

/// The headers of a message, as they are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    format: Option<RecordFormat>,
    received: Option<Timestamp>,
    events: Option<u32>,
    batch: Option<BatchTag>,
    mark: Option<Mark>,
    seen_format: bool,
}

impl Headers {
    /// Takes note of a header; of no importance if it is none of weir's.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        match name {
            MESSAGE_FORMAT if !self.seen_format => {
                self.seen_format = true;
                self.format = text(value).and_then(|text| text.parse().ok());
            }
            RECEIVED if self.received.is_none() => {
                self.received = text(value).and_then(|text| text.parse().ok()).map(Timestamp::from_micros);
            }
            EVENTS if self.events.is_none() => {
                self.events = text(value).and_then(|text| text.parse().ok());
            }
            BATCH_ID if self.batch.is_none() => self.batch = tag(value),
            MARK if self.mark.is_none() => self.mark = mark(value),
            _ => {}
        }
    }

    /// The mark that the record sets.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// The record that a message with these headers is. `millis` is the message's timestamp.
    #[must_use]
    pub fn record(self, value: Bytes, millis: Option<i64>) -> Record {
        let format = self.format.unwrap_or(RecordFormat::Timber);
        let of_message = || millis.map(|millis| Timestamp::from_micros(millis.saturating_mul(1_000)));
        Record {
            format,
            events: match format {
                RecordFormat::Timber => Some(1),
                RecordFormat::TimberCollection | RecordFormat::Events => self.events,
            },
            received: self.received.or_else(of_message).unwrap_or_default(),
            batch: self.batch,
            value,
        }
    }
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

/// As many hexadecimal digits.
fn digits(value: &[u8], count: usize) -> Option<&str> {
    text(value).filter(|text| text.len() == count && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn mark(value: &[u8]) -> Option<Mark> {
    let (source, end) = digits(value, 48)?.split_at_checked(32)?;
    let source = SourceId(u128::from_str_radix(source, 16).ok()?);
    Some(Mark { source, end: u64::from_str_radix(end, 16).ok()? })
}

fn tag(value: &[u8]) -> Option<BatchTag> {
    let (id, digest) = digits(value, 64)?.split_at_checked(32)?;
    Some(BatchTag { id: u128::from_str_radix(id, 16).ok()?, digest: u128::from_str_radix(digest, 16).ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(format: RecordFormat) -> Record {
        Record {
            format,
            events: Some(if format == RecordFormat::Timber { 1 } else { 3 }),
            received: Timestamp::from_micros(1_700_000_000_123_456),
            batch: None,
            value: Bytes::from_static(b"value"),
        }
    }

    fn written(record: &Record) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        write_headers(record, |name, value| {
            headers.push((name.to_owned(), String::from_utf8(value.to_vec()).expect("it is text")));
        });
        headers
    }

    #[track_caller]
    fn check(record: &Record, expected: &[(&str, &str)]) {
        let headers = written(record);
        let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(headers, expected);
        let mut read = Headers::default();
        headers.iter().for_each(|(name, value)| read.add(name, value.as_bytes()));
        assert_eq!(read.record(record.value.clone(), Some(7)), *record);
    }

    #[test]
    fn headers_are_these() {
        let of_message = Record { received: Timestamp::from_micros(7_000), ..record(RecordFormat::Timber) };
        check(&of_message, &[]);
        let received = ("weir-received", "1700000000123456");
        let collection = ("message_format", "TimberCollection");
        check(&record(RecordFormat::TimberCollection), &[collection, ("weir-events", "3"), received]);
        let batch = Some(BatchTag { id: 0xab, digest: u128::MAX });
        let id = "000000000000000000000000000000abffffffffffffffffffffffffffffffff";
        check(&Record { batch, ..record(RecordFormat::Timber) }, &[received, ("weir-batch-id", id)]);
        check(
            &Record { batch, events: None, ..record(RecordFormat::Events) },
            &[("message_format", "Events"), received, ("weir-batch-id", id)],
        );
    }

    #[test]
    fn a_mark_comes_back() {
        let mark = Mark { source: SourceId(0xab), end: 0xcd };
        let mut text = Vec::new();
        write_mark(mark, |name, value| text.extend([name.as_bytes(), b" ", value].concat()));
        let expected = b"weir-mark 000000000000000000000000000000ab00000000000000cd";
        assert_eq!(text, expected);
        let read = |values: &[&[u8]]| {
            let mut headers = Headers::default();
            values.iter().for_each(|value| headers.add(MARK, value));
            headers.mark()
        };
        assert_eq!(read(&[&expected[10..], b"000000000000000000000000000000ab00000000000000ce"]), Some(mark));
        for other in [&expected[11..], b"", b"+00000000000000000000000000000ab00000000000000cd", b"x"] {
            assert_eq!(read(&[other]), None, "{other:?}");
        }
    }

    #[test]
    fn what_others_write_is_read_as_barito_flow_reads_it() {
        let check = |headers: &[(&str, &str)], format, events| {
            let mut read = Headers::default();
            headers.iter().for_each(|(name, value)| read.add(name, value.as_bytes()));
            let found = read.record(Bytes::new(), Some(1_700));
            let received = Timestamp::from_micros(1_700_000);
            assert_eq!(found, Record { format, events, received, batch: None, value: Bytes::new() });
        };
        check(&[], RecordFormat::Timber, Some(1));
        check(&[("message_format", "TimberCollection")], RecordFormat::TimberCollection, None);
        check(&[("message_format", "timbercollection")], RecordFormat::Timber, Some(1));
        check(
            &[("message_format", "x"), ("message_format", "TimberCollection")],
            RecordFormat::Timber,
            Some(1),
        );
        check(&[("Message_Format", "TimberCollection"), ("trace", "1")], RecordFormat::Timber, Some(1));
        let nonsense = [("weir-received", "now"), ("weir-batch-id", "+f"), ("weir-events", "-1")];
        check(&nonsense, RecordFormat::Timber, Some(1));
    }

    proptest! {
        #[test]
        fn whatever_headers_say_there_is_a_record(
            headers in prop::collection::vec((
                prop::sample::select(vec![MESSAGE_FORMAT, RECEIVED, EVENTS, BATCH_ID, MARK, "other"]),
                prop::collection::vec(any::<u8>(), 0..70),
            ), 0..8),
            millis in any::<Option<i64>>(),
        ) {
            let mut read = Headers::default();
            headers.iter().for_each(|(name, value)| read.add(name, value));
            let record = read.record(Bytes::new(), millis);
            prop_assert!(record.format != RecordFormat::Timber || record.events == Some(1));
        }
    }
}
