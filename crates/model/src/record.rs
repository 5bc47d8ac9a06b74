use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::time::Timestamp;

/// What the journal holds at one offset: a batch of one or more events, as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub format: RecordFormat,
    /// How many events `value` holds; events are addressed by their index below this number. Absent if nobody
    /// counted them: others write to a shared journal too.
    pub events: Option<u32>,
    /// When the door took the batch.
    pub received: Timestamp,
    /// Present when the client named its batch.
    pub batch: Option<BatchTag>,
    pub value: Bytes,
}

/// How `Record::value` is to be read; the text form is the header `message_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordFormat {
    /// One `producer.Timber`, protobuf.
    Timber,
    /// One `producer.TimberCollection`, protobuf.
    TimberCollection,
    /// weir's own: `weir.v1.Events`, protobuf around JSON text, so that integers stay integers.
    Events,
}

/// A client's batch id, folded together with the app that it is scoped by, and a digest of the batch, so
/// that the same id with other bytes is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchTag {
    pub id: u128,
    pub digest: u128,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no record format; known are `Timber`, `TimberCollection` and `Events`")]
pub struct UnknownFormat(pub String);

impl RecordFormat {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timber => "Timber",
            Self::TimberCollection => "TimberCollection",
            Self::Events => "Events",
        }
    }
}

impl fmt::Display for RecordFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RecordFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "Timber" => Ok(Self::Timber),
            "TimberCollection" => Ok(Self::TimberCollection),
            "Events" => Ok(Self::Events),
            _ => Err(UnknownFormat(text.to_owned())),
        }
    }
}
