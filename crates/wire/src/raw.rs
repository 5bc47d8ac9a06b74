//! The events of a record of weir's own format as bytes, for whoever cuts records or puts them together.

use weir_model::Timestamp;

use crate::protobuf::write::{FIXED64, bytes_field_len, put_bytes_header, tag};
use crate::protobuf::{Cursor, Field, Malformed};
use crate::scan::scan_events;

/// An event as it is in a record, undecoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawEvent<'a> {
    bytes: &'a [u8],
    has_time: bool,
}

/// The events of a `weir.v1.Events`, in order.
#[derive(Debug, Clone)]
pub struct RawEvents<'a> {
    index_prefix: &'a str,
    message: Cursor<'a>,
}

/// Checks a `weir.v1.Events` as [`scan_events`] does, and goes through its events.
pub fn raw_events(bytes: &[u8]) -> Result<RawEvents<'_>, Malformed> {
    let scanned = scan_events(bytes)?;
    Ok(RawEvents { index_prefix: scanned.index_prefix, message: Cursor::outermost(bytes)? })
}

impl<'a> RawEvents<'a> {
    #[must_use]
    pub fn index_prefix(&self) -> &'a str {
        self.index_prefix
    }
}

impl<'a> Iterator for RawEvents<'a> {
    type Item = RawEvent<'a>;

    fn next(&mut self) -> Option<RawEvent<'a>> {
        // It was checked: there are no errors.
        while let Ok(Some(field)) = self.message.next_field() {
            if let Field::Bytes(2, bytes) = field {
                return Some(RawEvent { bytes, has_time: has_time(bytes) });
            }
        }
        None
    }
}

impl RawEvent<'_> {
    /// Whether it says when it was.
    #[must_use]
    pub fn has_time(&self) -> bool {
        self.has_time
    }

    /// How many bytes it takes in a record, once it has a time.
    #[must_use]
    pub fn timed_len(&self) -> usize {
        bytes_field_len(self.bytes.len() + self.missing())
    }

    /// Of the time that it does not have.
    fn missing(&self) -> usize {
        if self.has_time { 0 } else { 1 + size_of::<i64>() }
    }

    /// With this time if it has none.
    pub(crate) fn put(&self, out: &mut Vec<u8>, time: Timestamp) {
        put_bytes_header(out, 2, self.bytes.len() + self.missing());
        if !self.has_time {
            out.push(tag(1, FIXED64));
            out.extend_from_slice(&time.micros().to_le_bytes());
        }
        out.extend_from_slice(self.bytes);
    }
}

fn has_time(event: &[u8]) -> bool {
    let mut fields = Cursor::new(event);
    while let Ok(Some(field)) = fields.next_field() {
        if let Field::Fixed64(1, _) = field {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_model::{IndexPrefix, RecordFormat};

    use super::*;
    use crate::{EventsBuilder, decode_record};

    fn shop() -> EventsBuilder {
        EventsBuilder::new(&IndexPrefix::new("shop").expect("legal"))
    }

    fn time(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    /// Times and contents, decoded as of this receipt.
    fn decoded(record: &Bytes, received: Timestamp) -> Vec<(Timestamp, String)> {
        let batch = decode_record(RecordFormat::Events, record, received).expect("whole");
        let event = |event: weir_model::EventRef<'_>| {
            (event.time, event.content.map_or_else(|fault| fault.to_string(), |content| content.to_string()))
        };
        batch.events().map(event).collect()
    }

    #[test]
    fn a_record_is_put_together_of_its_events() {
        let mut original = shop();
        original.push_json("{\"a\":1}", Some(time(-5)));
        original.push_line("a line", None);
        original.push_json("", None);
        original.push_line(&"long ".repeat(1000), Some(time(0)));
        let (original, _) = original.finish();
        let events = raw_events(&original).expect("whole");
        assert_eq!(events.index_prefix(), "shop");
        let mut copy = shop();
        let mut expected = copy.bytes();
        for event in events {
            expected += event.timed_len();
            copy.push_raw(event, time(77));
            assert_eq!(copy.bytes(), expected);
        }
        let (copy, count) = copy.finish();
        assert_eq!(count, 4);
        assert_eq!(decoded(&copy, time(99)), decoded(&original, time(77)), "the time is that of the copy");
        let times: Vec<bool> = raw_events(&original).expect("whole").map(|event| event.has_time()).collect();
        assert_eq!(times, [true, false, false, true]);
        assert!(raw_events(&copy).expect("whole").all(|event| event.has_time()));
    }

    /// Others may write fields in any order, and more of them.
    #[test]
    fn whether_there_is_a_time_is_found_wherever_it_is() {
        let check = |event: &[u8], expected: bool| {
            let mut record = Vec::new();
            crate::protobuf::write::put_bytes(&mut record, 2, event);
            let found: Vec<bool> =
                raw_events(&record).expect("whole").map(|event| event.has_time()).collect();
            assert_eq!(found, [expected], "{event:?}");
        };
        check(b"", false);
        check(b"\x1a\x01x", false);
        check(b"\x1a\x01x\x09\x00\x00\x00\x00\x00\x00\x00\x00", true);
        // As a varint it is another field.
        check(b"\x08\x01\x1a\x01x", false);
        check(b"\x48\x01\x09\x00\x00\x00\x00\x00\x00\x00\x00", true);
    }

    proptest::proptest! {
        /// What passes the door has as many events, and is the same when it was put together again.
        #[test]
        fn what_was_tampered_with_is_refused_or_stays_as_it_is(
            flips in proptest::collection::vec((0_usize..80, 0_u8..8), 0..6),
        ) {
            let mut original = shop();
            original.push_json("{\"a\":1}", Some(time(5)));
            original.push_line("a line", None);
            original.push_line("another one", Some(time(-1)));
            let mut bytes = original.finish().0.to_vec();
            for (at, bit) in flips {
                let at = at % bytes.len();
                bytes[at] ^= 1 << bit;
            }
            let scanned = scan_events(&bytes);
            proptest::prop_assert_eq!(raw_events(&bytes).is_ok(), scanned.is_ok());
            if let (Ok(scanned), Ok(events)) = (scanned, raw_events(&bytes)) {
                proptest::prop_assert_eq!(events.clone().count(), scanned.items as usize);
                let mut copy = shop();
                events.for_each(|event| copy.push_raw(event, time(7)));
                let expected = decode_record(RecordFormat::Events, &Bytes::from(bytes), time(7));
                let copied = decode_record(RecordFormat::Events, &copy.finish().0, time(8));
                if let (Ok(expected), Ok(copied)) = (&expected, &copied) {
                    for (one, other) in expected.events().zip(copied.events()) {
                        proptest::prop_assert_eq!(one.content.is_ok(), other.content.is_ok());
                        if one.content.is_ok() {
                            proptest::prop_assert_eq!(one.time, other.time);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for bytes in [&b"\x12\x05x"[..], b"\x0a\x01\xff", b"\x12\x03\x1a\x01\xff", b"\x07"] {
            assert!(raw_events(bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(raw_events(b"").expect("nothing is wrong").count(), 0);
    }
}
