use std::fmt;
use std::str::FromStr;

use crate::stream::{Incarnation, Offset, PartitionIndex, StreamName, StreamPartition};

/// Where an event is: the record that holds it, and its index in that record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub partition: StreamPartition,
    pub offset: Offset,
    pub index: u32,
}

/// The identity of an event in every store: `<stream>-<incarnation>-<partition>-<offset>.<index>`.
///
/// It is the position as text, so a redelivered event has the id it had before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub Position);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an event id; its form is `<stream>-<incarnation>-<partition>-<offset>.<index>`")]
pub struct IllegalEventId(String);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { partition, offset, index } = &self.0;
        write!(
            f,
            "{}-{}-{}-{}.{}",
            partition.stream, partition.incarnation, partition.partition, offset, index
        )
    }
}

impl FromStr for EventId {
    type Err = IllegalEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| IllegalEventId(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<EventId> {
    let (rest, index) = text.rsplit_once('.')?;
    let (rest, offset) = rest.rsplit_once('-')?;
    let (rest, partition) = rest.rsplit_once('-')?;
    let (stream, incarnation) = rest.rsplit_once('-')?;
    let partition = StreamPartition {
        stream: StreamName::new(stream).ok()?,
        incarnation: Incarnation(u64::from_str_radix(incarnation, 16).ok()?),
        partition: PartitionIndex(partition.parse().ok()?),
    };
    let id =
        EventId(Position { partition, offset: Offset(offset.parse().ok()?), index: index.parse().ok()? });
    (id.to_string() == text).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_as_it_was_written() {
        let id = EventId(Position {
            partition: StreamPartition {
                stream: StreamName::new("a-b-0_logs").expect("legal"),
                incarnation: Incarnation(0x1f),
                partition: PartitionIndex(3),
            },
            offset: Offset(42),
            index: 7,
        });
        assert_eq!(id.to_string(), "a-b-0_logs-000000000000001f-3-42.7");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "a",
            "a-1-2-3.4",
            "a-000000000000001f-3-42",
            "a-000000000000001f-3-042.7",
            "a-000000000000001f-3-42.-1",
        ] {
            assert_eq!(text.parse::<EventId>(), Err(IllegalEventId(text.to_owned())), "{text}");
        }
    }
}
