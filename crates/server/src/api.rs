//! What goes over the wire of `/api/v1`, as types: the server writes them, the command line reads them,
//! and the OpenAPI document is made from their schemas.

mod audit;
mod dead;
mod error;
mod groups;
mod indices;
mod journal;
mod search;
mod streams;
mod tail;
mod time;

pub use audit::{Audit, AuditParameters, AuditStream, AuditVerdict};
pub use dead::{
    DeadLetter, DeadLetterEntry, DeadLetters, DeadListParameters, DeadSelection, PurgeAnswer, Replay,
    ReplayAnswer, ReplayRefusal,
};
pub use error::{ErrorBody, ErrorDetail};
pub use groups::{Group, GroupPosition, Groups};
pub use indices::{Index, Indices, IndicesParameters};
pub use journal::{
    JournalCheck, JournalDump, JournalDumpParameters, JournalLoss, JournalPartitionCheck, JournalRecord,
};
pub use search::{
    Bucket, Format, Histogram, Hit, SearchAnswer, SearchParameters, SearchStats, TopValue, Unreadable,
};
pub use streams::{Partition, Stream, Streams};
pub use tail::{TailGap, TailParameters};
pub use time::{IllegalTime, Time};
