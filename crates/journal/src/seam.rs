//! The seam: what a journal guarantees, in prose, and the types that cross it.

use std::borrow::Cow;
use std::fmt;

use async_trait::async_trait;
use tokio::sync::watch;
use weir_model::{
    BatchTag, Mark, Offset, PartitionIndex, Record, SourceId, StreamName, StreamPartition, Timestamp,
};

use crate::error::{AppendError, CommitError, CreateStreamError, ReadError, SubscribeError};

/// The durable log of all streams.
///
/// Guarantees required of every implementation:
///
/// * **Durable before answered.** When [`append`](Journal::append) returns positions, the records survive
///   the death of the process and of the machine. When it returns an error whose `outcome_unknown` is
///   false, no record is in the journal and none ever will be, but for those that
///   [`AppendError::Partial`] names as stored.
/// * **In order.** The offsets of a partition rise in the order of the appends that became durable. Where a
///   record was lost later, readers get a [`Loss`] in its place, never silence. The offsets of an embedded
///   journal are dense: 0, 1, 2, …; a shared one may leave some out that never held a record of anybody, and
///   says nothing of them.
/// * **Ordered by origin.** Records of one key, and those of one source, go to one partition of their stream, in the
///   order of their appends; others go anywhere.
/// * **Marks.** The mark of a source is as durable as the records that it came with: whoever reads a source again
///   learns what is stored of it. A shared journal knows only the marks that were set by this process.
/// * **Visible when durable.** A reader never sees a record that a crash could still take back.
/// * **Groups.** A group's commit is what it has dealt with durably. The journal removes nothing that a
///   group has not passed, unless its settings say so by name; what is removed all the same reaches the
///   group as a [`Loss`].
/// * **Lives.** A partition has an incarnation; offsets of one incarnation are never given twice, not even
///   after a damaged tail was cut: an embedded journal goes on behind the cut, a shared one begins another
///   incarnation.
///
/// Freedoms: how partitions are chosen for records without a key; how many records are answered by one
/// sync; when expired records go; in which order a subscription serves its partitions; whether several
/// records are stored all or none ([`append`](Journal::append)); whether events are counted
/// ([`StoredRecord::first_event`]); whether a record of barito-flow's `Timber` without a tag comes back with the
/// time of its append instead of its receipt; how many members a group may have; how long it takes until a reader
/// learns of new streams and records. [`conformance::Nature`](crate::conformance::Nature) names those that
/// tests have to know.
#[async_trait]
pub trait Journal: Send + Sync + fmt::Debug {
    /// Makes `records` durable in `stream` and says where each is, in their order. Cancelling the call may or
    /// may not store them.
    ///
    /// An embedded journal stores all or none. A shared one may store a part; the error then says which, so
    /// that whoever tries again gives it the others only.
    ///
    /// `origin` selects the partition of all of them; see "ordered by origin".
    async fn append(
        &self,
        stream: &StreamName,
        origin: Origin<'_>,
        records: Vec<Record>,
    ) -> Result<Vec<Appended>, AppendError>;

    /// Creates a stream. That it exists already is success and changes nothing.
    async fn create_stream(&self, spec: StreamSpec) -> Result<Creation, CreateStreamError>;

    /// All streams, in the order of their names.
    async fn streams(&self) -> Result<Vec<StreamInfo>, ReadError>;

    /// Reads records from `from` on, in order, up to the budget (one record at least, if there is one).
    /// An empty answer means that `from` is the end. Reading below the start yields a [`Loss`] first.
    async fn read(
        &self,
        partition: &StreamPartition,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadBatch, ReadError>;

    /// Delivers all records of all streams that match `pattern`, now and later, from where `group` last
    /// committed (the start where it never did). A group has one live subscription in an embedded journal; in
    /// a shared one the members of a group share the partitions.
    async fn subscribe(
        &self,
        group: &str,
        pattern: StreamPattern,
    ) -> Result<Box<dyn Subscription>, SubscribeError>;

    /// Notes durably that `group` has dealt with everything below each given offset. A commit that is
    /// behind an earlier one changes nothing, nor does one of a partition that was revoked from this member or
    /// belongs to an incarnation that is over. One beyond the end moves the end of an embedded journal (the
    /// offsets between are lost, counted, and never given again); a shared one notes it, and begins another
    /// incarnation when it finds the end below.
    async fn commit(&self, group: &str, commits: &[Commit]) -> Result<(), CommitError>;

    /// All groups that ever committed or subscribed.
    async fn groups(&self) -> Result<Vec<GroupInfo>, ReadError>;

    /// Forgets a group, so that it holds back nothing. Refused while a subscription of it is open.
    async fn delete_group(&self, group: &str) -> Result<(), CommitError>;

    /// The batches with a tag that were received since `since`, for rebuilding a window of known ids: the newest
    /// `most` of them, oldest first. A shared journal answers with none: the window is that of one producer
    /// process, since reading all that others wrote would not make it complete.
    async fn known_batches(&self, since: Timestamp, most: usize) -> Result<Vec<KnownBatch>, ReadError>;

    /// The mark that was last set for a source, whose records are in this stream; none if none was, or if that was so long
    /// ago that it was forgotten. A shared journal finds what other processes set, unless more came into the partition of
    /// the source since then than it looks through.
    async fn mark(&self, stream: &StreamName, source: SourceId) -> Result<Option<u64>, ReadError>;

    /// Changes whenever records became readable or a stream was created; its value has no meaning. A shared
    /// journal tells at once what came through this process, and what others wrote by looking periodically.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// One member of a group, reading at its own pace.
#[async_trait]
pub trait Subscription: Send + fmt::Debug {
    /// Waits for the next event. Cancelling loses nothing.
    async fn next(&mut self) -> Result<SubscriptionEvent, ReadError>;

    /// Continues a partition at `offset` instead of where it stands, also if it was paused.
    fn seek(&mut self, partition: &StreamPartition, offset: Offset);

    /// Brings nothing more of a partition until it is sought.
    fn pause(&mut self, partition: &StreamPartition);
}

/// What a subscription delivers.
#[derive(Debug)]
pub enum SubscriptionEvent {
    /// These partitions are now this member's; records follow from `next` on.
    Assigned(Vec<Assignment>),
    /// Records of one partition, in order.
    Batch(ReadBatch),
    /// These partitions are no longer this member's, or their incarnation is over. Never sent by embedded
    /// journals. A partition that goes to another member is kept until `next` is called again, for a bounded
    /// time: what is committed before that is not delivered again.
    Revoked(Vec<StreamPartition>),
}

/// A partition given to a member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The partition.
    pub partition: StreamPartition,
    /// The offset that the group committed, or the start.
    pub next: Offset,
}

/// Consecutive records of one partition.
#[derive(Debug, Clone)]
pub struct ReadBatch {
    /// Where they are from.
    pub partition: StreamPartition,
    /// In order of their offsets; offsets that are absent are in `losses`, or never held a record.
    pub records: Vec<StoredRecord>,
    /// Offsets in this range that hold nothing readable any more.
    pub losses: Vec<Loss>,
    /// Where the next read goes on.
    pub next: Offset,
}

/// A record with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its offset in the partition.
    pub offset: Offset,
    /// How many events the partition took before this record, in this incarnation; absent if the journal
    /// does not count events.
    pub first_event: Option<u64>,
    /// The record.
    pub record: Record,
}

/// A range of offsets, `from` up to but not including `to`, that can not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// First offset of the range.
    pub from: Offset,
    /// The offset after the range.
    pub to: Offset,
    /// How many events the range held; absent if nothing knows any more.
    pub events: Option<u64>,
    /// Why.
    pub reason: LossReason,
}

/// Why a range can not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LossReason {
    /// Retention removed it.
    Expired,
    /// Its bytes are damaged, or the file that held it is.
    Damaged,
    /// The end of the journal was cut behind what a group had already committed.
    Cut,
}

impl LossReason {
    /// One word for labels and answers: stable.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Damaged => "damaged",
            Self::Cut => "cut",
        }
    }
}

/// Where the records of an append are from, as far as it matters for their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin<'a> {
    /// They have no order among others.
    #[default]
    Any,
    /// They come in order with others of the same key.
    Key(&'a [u8]),
    /// They come in order with others of the same source, which is stored up to the mark when they are.
    Source(Mark),
}

/// The answer to an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Where the record is.
    pub partition: StreamPartition,
    /// Its offset.
    pub offset: Offset,
}

/// What a stream is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpec {
    /// Full name.
    pub name: StreamName,
    /// How many partitions are asked for; absent means the journal's default. At least 1.
    pub partitions: Option<u32>,
    /// How many copies are asked for; embedded journals have one, whatever is asked.
    pub replicas: Option<u32>,
    /// How long its records are kept.
    pub keep: Keep,
    /// What is done if there is none of that name.
    pub if_missing: IfMissing,
}

/// What [`Journal::create_stream`] does about a stream that is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IfMissing {
    /// Makes it.
    #[default]
    Create,
    /// Fails with [`CreateStreamError::Missing`].
    Refuse,
}

/// How long records of a stream are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// As the journal is set up.
    #[default]
    AsConfigured,
    /// Until somebody deletes the stream. Embedded journals keep all streams alike, as they are set up.
    ForEver,
}

/// Whether [`Journal::create_stream`] made something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// The stream is new.
    Created(StreamInfo),
    /// It was there.
    Existed(StreamInfo),
}

/// A stream as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Full name.
    pub name: StreamName,
    /// When it was made; absent if the journal does not know.
    pub created: Option<Timestamp>,
    /// In order of their indexes.
    pub partitions: Vec<PartitionBounds>,
}

/// What a partition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionBounds {
    /// The partition.
    pub partition: StreamPartition,
    /// The first offset that may still be readable.
    pub start: Offset,
    /// The offset that the next record gets.
    pub end: Offset,
    /// How many events the partition took before `start`; absent if the journal does not count events.
    pub start_event: Option<u64>,
    /// How many events the partition took in all, in this incarnation; absent if the journal does not count
    /// events.
    pub end_event: Option<u64>,
    /// Bytes on disk of the retained records, as stored; absent if the journal does not know.
    pub bytes: Option<u64>,
}

/// A batch with a client's id that is in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownBatch {
    /// The id and the digest.
    pub tag: BatchTag,
    /// When it was received.
    pub received: Timestamp,
}

/// How far a group is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its name.
    pub name: String,
    /// Whether a subscription of it is open.
    pub live: bool,
    /// Partitions that it committed.
    pub positions: Vec<GroupPosition>,
}

/// How far a group is in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPosition {
    /// The partition.
    pub partition: StreamPartition,
    /// Everything below is dealt with.
    pub committed: Offset,
}

/// One partition's part of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The partition.
    pub partition: StreamPartition,
    /// Everything below is dealt with, durably.
    pub offset: Offset,
}

/// How much one read may return; the first record comes whatever its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadBudget {
    /// Bytes of record values, uncompressed.
    pub bytes: usize,
    /// Number of records.
    pub records: usize,
}

/// Which streams a subscription wants: names that start and end so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamPattern {
    /// Start of the full name; empty matches all.
    pub prefix: String,
    /// End of the full name; empty matches all.
    pub suffix: String,
}

impl StreamPattern {
    /// Whether the stream is wanted.
    #[must_use]
    pub fn matches(&self, name: &StreamName) -> bool {
        let name = name.as_str();
        name.len() >= self.prefix.len() + self.suffix.len()
            && name.starts_with(&self.prefix)
            && name.ends_with(&self.suffix)
    }
}

impl StoredRecord {
    /// How many events the partition took up to and with this record, if they are counted.
    #[must_use]
    pub fn event_after(&self) -> Option<u64> {
        Some(self.first_event? + u64::from(self.record.events?))
    }
}

impl StreamSpec {
    /// Partitions, copies and time as the journal is set up.
    #[must_use]
    pub fn new(name: StreamName) -> Self {
        Self {
            name,
            partitions: None,
            replicas: None,
            keep: Keep::default(),
            if_missing: IfMissing::default(),
        }
    }
}

impl Origin<'_> {
    /// The bytes that choose the partition, if they do.
    #[must_use]
    pub fn key(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Any => None,
            Self::Key(key) => Some(Cow::Borrowed(key)),
            Self::Source(mark) => Some(Cow::Owned(mark.source.0.to_le_bytes().to_vec())),
        }
    }

    /// The mark that is set, if one is.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        match self {
            Self::Any | Self::Key(_) => None,
            Self::Source(mark) => Some(*mark),
        }
    }
}

impl StreamInfo {
    /// The bounds of one partition.
    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<&PartitionBounds> {
        self.partitions.iter().find(|bounds| bounds.partition.partition == index)
    }
}

impl Creation {
    /// The stream, new or not.
    #[must_use]
    pub fn info(&self) -> &StreamInfo {
        match self {
            Self::Created(info) | Self::Existed(info) => info,
        }
    }
}
