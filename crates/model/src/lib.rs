//! The nouns of weir as value types: names, times, positions, records, contents.
//!
//! Nothing here does I/O, reads a clock, or knows a wire format. Text forms are those that people and
//! stores see (an event id, an index name, a content as JSON text).

mod app;
mod batch;
mod content;
mod number;
mod position;
mod record;
mod size;
mod source;
mod stream;
mod time;

pub use app::{AppName, AppSecret, IllegalName, IndexPrefix};
pub use batch::{EventBatch, EventBatchBuilder, EventFault, EventRef, StringRewriter};
pub use content::{Array, Content, ContentError, Elements, Entries, MAX_DEPTH, Object, Value};
pub use position::{EventId, IllegalEventId, Position};
pub use record::{BatchTag, Record, RecordFormat, UnknownFormat};
pub use size::ByteSize;
pub use source::{Mark, SourceId};
pub use stream::{IllegalStreamName, Incarnation, Offset, PartitionIndex, StreamName, StreamPartition};
pub use time::{Day, Timestamp};
