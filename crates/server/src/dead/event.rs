//! The event that a dead letter holds, as JSON text and back.

use bytes::Bytes;
use weir_model::{EventFault, IndexPrefix, RecordFormat, Timestamp};
use weir_store::DeadLetter;
use weir_wire::{Context, EventsBuilder, decode_record, encode_event, single_event_record};

/// What a letter says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) time: Timestamp,
    /// Compact JSON; absent if the bytes can not be read as one.
    pub(super) content: Option<String>,
}

/// Why a text is no event.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("{0}")]
    Fault(EventFault),
    #[error("it is too large")]
    TooLarge,
}

/// The name of an index that nothing goes to: a record has to have one.
const SOME_INDEX: &str = "x";

/// Nothing if the letter stands for a whole record, or for a loss.
pub(super) fn read(letter: &DeadLetter) -> Option<Said> {
    let prefix = letter.prefix.as_ref()?;
    let context = Context { index_prefix: prefix.as_str(), ..Context::default() };
    let (format, value) = single_event_record(letter.format, &letter.original, &context);
    let nothing = Said { time: letter.received, content: None };
    let Ok(batch) = decode_record(format, &value, letter.received) else { return Some(nothing) };
    let said = batch.get(0).map(|event| Said {
        time: event.time,
        content: event.content.ok().map(|content| content.to_string()),
    });
    Some(said.unwrap_or(nothing))
}

/// An event of the format, as a letter keeps it.
pub(super) fn write(format: RecordFormat, time: Timestamp, content: &str) -> Result<Bytes, WriteError> {
    let mut events = EventsBuilder::new(&IndexPrefix::new(SOME_INDEX).expect("is legal"));
    events.push_json(content, Some(time));
    let (value, _) = events.finish();
    let batch =
        decode_record(RecordFormat::Events, &value, time).map_err(|_malformed| WriteError::TooLarge)?;
    let event = batch.get(0).ok_or(WriteError::TooLarge)?;
    let content = event.content.map_err(|fault| WriteError::Fault(fault.clone()))?;
    Ok(encode_event(format, time, content))
}

#[cfg(test)]
mod tests {
    use weir_model::{Incarnation, Offset, PartitionIndex, Position, StreamName, StreamPartition};
    use weir_store::DeadReason;

    use super::*;

    const TIME: Timestamp = Timestamp::from_micros(1_700_000_000_123_456);

    fn letter(format: RecordFormat, prefix: Option<&str>, original: Bytes) -> DeadLetter {
        let partition = StreamPartition {
            stream: StreamName::new("shop_logs").expect("is legal"),
            incarnation: Incarnation(1),
            partition: PartitionIndex(0),
        };
        DeadLetter {
            position: Position { partition, offset: Offset(3), index: 0 },
            events: 1,
            received: Timestamp::from_micros(7),
            died: Timestamp::from_micros(8),
            prefix: prefix.map(|prefix| IndexPrefix::new(prefix).expect("is legal")),
            format,
            reason: DeadReason { code: "rejected".to_owned(), message: "why".to_owned() },
            original,
        }
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let content = r#"{"a":{"b":[1,null,"x"]},"n":2.5}"#;
        for format in [RecordFormat::Timber, RecordFormat::TimberCollection, RecordFormat::Events] {
            let original = write(format, TIME, content).expect("is an event");
            let said = read(&letter(format, Some("shop"), original)).expect("is one event");
            assert_eq!(said, Said { time: TIME, content: Some(content.to_owned()) }, "{format}");
        }
    }

    #[test]
    fn what_is_no_event_is_none() {
        let broken = letter(RecordFormat::Events, Some("shop"), Bytes::from_static(&[0xff]));
        assert_eq!(read(&broken).expect("it was one").content, None);
        assert_eq!(read(&letter(RecordFormat::Events, None, Bytes::new())), None, "it was a whole record");
        for text in ["[]", "{}", "{", "1"] {
            write(RecordFormat::Timber, TIME, text).expect_err(text);
        }
    }
}
