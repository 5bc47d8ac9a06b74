//! Cuts events into records of the journal.

use bytes::Bytes;
use weir_model::{IndexPrefix, Record, RecordFormat, Timestamp};
use weir_wire::{EventsBuilder, RawEvents, raw_events};

use super::error::KeepError;

/// The largest record, unless a single event is larger: every server takes a parcel of this size.
pub(super) const RECORD: usize = 64 << 10;

/// Bytes that a record takes beside its value: its row, its place in the index, and what is left of pages.
const ROW: u64 = 128;

/// Bytes of the disk that records take at most, compressed or not.
pub(super) fn on_disk(records: &[Record]) -> u64 {
    records.iter().map(|record| record.value.len() as u64 + ROW).sum()
}

/// Records of at most [`RECORD`] bytes, or one event each; every event with a time. Fails for an event of more than `limit`
/// bytes.
pub(super) fn cut(
    events: EventsBuilder,
    received: Timestamp,
    limit: usize,
) -> Result<Vec<Record>, KeepError> {
    let (value, count) = events.finish();
    let record = |value: Bytes, events: u32| Record {
        format: RecordFormat::Events,
        events: Some(events),
        received,
        batch: None,
        value,
    };
    if count == 0 {
        return Ok(Vec::new());
    }
    let events = raw_events(&value).expect("a builder builds what is whole");
    if value.len() <= RECORD && events.clone().all(|event| event.has_time()) {
        return Ok(vec![record(value, count)]);
    }
    let mut records = Vec::with_capacity(value.len() / RECORD + 1);
    pieces(events, received, limit, |value, events| records.push(record(value, events)))?;
    Ok(records)
}

fn pieces(
    events: RawEvents<'_>,
    received: Timestamp,
    limit: usize,
    mut piece: impl FnMut(Bytes, u32),
) -> Result<(), KeepError> {
    let prefix = IndexPrefix::new(events.index_prefix()).expect("a builder has a legal prefix");
    let mut builder = EventsBuilder::with_capacity(&prefix, RECORD);
    for event in events {
        let size = event.timed_len();
        if size > limit {
            return Err(KeepError::EventTooLarge { size, limit });
        }
        if !builder.is_empty() && builder.bytes() + size > RECORD {
            let full = std::mem::replace(&mut builder, EventsBuilder::with_capacity(&prefix, RECORD));
            let (value, events) = full.finish();
            piece(value, events);
        }
        builder.push_raw(event, received);
    }
    if !builder.is_empty() {
        let (value, events) = builder.finish();
        piece(value, events);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_wire::decode_record;

    use super::*;

    fn builder(lengths: &[usize]) -> EventsBuilder {
        let mut builder = EventsBuilder::new(&IndexPrefix::new("shop").expect("legal"));
        for (index, length) in lengths.iter().enumerate() {
            let time = (index % 3 > 0).then_some(Timestamp::from_micros(index as i64));
            builder.push_line(&"x".repeat(*length), time);
        }
        builder
    }

    fn received() -> Timestamp {
        Timestamp::from_micros(1_000_000)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_record_is_too_large(
            lengths in prop::collection::vec(
                prop_oneof![0_usize..200, 0_usize..30_000, 60_000_usize..70_000, Just(65_520_usize)],
                0..40,
            ),
        ) {
            let records = cut(builder(&lengths), received(), 100_000).expect("none is too large");
            let mut found = Vec::new();
            for record in &records {
                let batch = decode_record(record.format, &record.value, Timestamp::default()).expect("whole");
                prop_assert_eq!(record.events, Some(u32::try_from(batch.len()).expect("few")));
                prop_assert!(record.value.len() <= RECORD || batch.len() == 1, "{}", record.value.len());
                let event = |event: weir_model::EventRef<'_>| (event.time, event.content.expect("a line").to_string().len());
                found.extend(batch.events().map(event));
            }
            let expected: Vec<_> = lengths.iter().enumerate().map(|(index, length)| {
                let time = if index % 3 > 0 { Timestamp::from_micros(index as i64) } else { received() };
                (time, length + r#"{"message":""}"#.len())
            }).collect();
            prop_assert_eq!(found, expected);
            // Neighbours would not have fitted together.
            for pair in records.windows(2) {
                let [one, two] = pair else { unreachable!() };
                let first = raw_events(&two.value).expect("whole").next().expect("one event").timed_len();
                prop_assert!(one.value.len() + first > RECORD);
            }
        }
    }

    #[test]
    fn an_event_that_is_too_large_takes_the_others_with_it() {
        let error = cut(builder(&[10, 5_000, 10]), received(), 4_000).expect_err("one is too large");
        assert!(matches!(error, KeepError::EventTooLarge { size, limit: 4_000 } if size > 5_000), "{error}");
        assert_eq!((error.retry_after(), error.outcome_unknown()), (None, false));
    }

    #[test]
    fn no_events_are_no_records() {
        assert_eq!(cut(builder(&[]), received(), 10).expect("nothing is too large"), []);
    }
}
