//! Settings of the embedded journal: as written by people, and validated.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_foundation::settings::{DurationText, Problem, Problems, SizeText};
use weir_model::ByteSize;

/// The embedded journal: where accepted records are kept until everybody who wants them has them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JournalSection {
    /// Compression of records. Default: `lz4`.
    pub compression: Option<Codec>,
    /// A file that has grown to this size is completed and the next one begun. Default: `1GiB`.
    pub file_size: Option<SizeText>,
    /// A file whose first record is this old is completed and the next one begun. Default: `6h`.
    pub file_age: Option<DurationText>,
    /// Partitions of a new stream: as many as are asked for, up to this number; this number, if nothing is
    /// asked for. Default: `4`.
    pub max_partitions: Option<u32>,
    /// How many streams may exist. Default: `10000`.
    pub max_streams: Option<u32>,
    /// The largest record, before compression. Default: `32MiB`.
    pub max_record: Option<SizeText>,
    /// Memory of records that wait to be written; callers beyond it wait. Default: `16MiB`.
    pub queue: Option<SizeText>,
    /// Records, uncompressed, that a reader gets at once. Default: `4MiB`.
    pub read_batch: Option<SizeText>,
    /// Free space of the file system that the journal leaves alone: below it, records are refused.
    /// Default: `64MiB`.
    pub reserve: Option<SizeText>,
    /// Files whose newest record is older than this are removed. Default: `72h`.
    pub max_age: Option<DurationText>,
    /// While all files together are larger than this, the oldest are removed. Default: `10GiB`.
    pub max_size: Option<SizeText>,
    /// What happens to records over these limits that somebody has not got yet, or whose batch id is younger than
    /// `producer.batch_id_window`: `hold` keeps them, and refuses new ones when the disk is full;
    /// `drop_undelivered` removes them, counted; after a restart, retries of these batches are stored again.
    /// Default: `hold`.
    pub when_full: Option<Undelivered>,
}

/// What the embedded journal does, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the files are; made with mode 0700 if it is not there.
    pub directory: PathBuf,
    /// How values are compressed.
    pub codec: Codec,
    /// A file that is larger is closed and a new one begun.
    pub file_size: ByteSize,
    /// A file whose first record is older is closed and a new one begun, so that age limits can bite.
    pub file_age: Duration,
    /// Partitions of a new stream: what is asked for, up to this; this, if nothing is asked for.
    pub max_partitions: u32,
    /// How many streams may exist.
    pub max_streams: usize,
    /// The largest value of a record, before compression.
    pub max_record: ByteSize,
    /// Memory of appends that wait for the writer; callers beyond it wait.
    pub queue: ByteSize,
    /// Bytes of values that one event of a subscription holds.
    pub read_batch: ByteSize,
    /// Free space of the file system that the journal leaves alone.
    pub reserve: ByteSize,
    /// What goes, and when.
    pub retention: Retention,
    /// How long batches with a tag must be known: with [`Undelivered::Hold`], files with younger ones stay,
    /// whatever the limits say.
    pub batch_window: Duration,
    /// How often limits and free space are looked at.
    pub maintenance: Duration,
}

/// Compression of a record's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Stored as it came.
    None,
    /// LZ4 block format.
    #[default]
    Lz4,
    /// zstd, level 1.
    Zstd,
}

/// When whole files are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Files whose newest record is older.
    pub age: Option<Duration>,
    /// The oldest files, while all files together are larger.
    pub size: Option<ByteSize>,
    /// What holds them back.
    pub undelivered: Undelivered,
}

/// What happens to records over a limit that a group has not passed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
pub enum Undelivered {
    /// They stay; when the disk is full, new records are refused.
    #[default]
    #[serde(rename = "hold")]
    Hold,
    /// They go, and the group is told how much it lost.
    #[serde(rename = "drop_undelivered")]
    Drop,
}

/// Smaller files cost more than they hold.
const LEAST_FILE: u64 = 1 << 20;
/// Beyond it lengths in a file would not be exact any more.
pub(super) const MOST_RECORD: u64 = 256 << 20;
/// An index page per partition is written with every group of records.
const MOST_PARTITIONS: u32 = 1024;

impl Settings {
    /// The defaults.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            codec: Codec::default(),
            file_size: ByteSize::gib(1),
            file_age: Duration::from_secs(6 * 3600),
            max_partitions: 4,
            max_streams: 10_000,
            max_record: ByteSize::mib(32),
            queue: ByteSize::mib(16),
            read_batch: ByteSize::mib(4),
            reserve: ByteSize::mib(64),
            retention: Retention {
                age: Some(Duration::from_secs(72 * 3600)),
                size: Some(ByteSize::gib(10)),
                undelivered: Undelivered::default(),
            },
            batch_window: Duration::ZERO,
            maintenance: Duration::from_secs(1),
        }
    }

    /// Checks the section; the journal is in `directory`.
    pub fn validate(raw: &JournalSection, directory: PathBuf) -> Result<Self, Problems> {
        let default = Self::new(directory);
        let mut problems = Problems::default();
        let settings = Self {
            codec: raw.compression.unwrap_or(default.codec),
            file_size: size(raw.file_size, default.file_size),
            file_age: raw.file_age.map_or(default.file_age, DurationText::duration),
            max_partitions: raw.max_partitions.unwrap_or(default.max_partitions),
            max_streams: raw.max_streams.map_or(default.max_streams, |most| most as usize),
            max_record: size(raw.max_record, default.max_record),
            queue: size(raw.queue, default.queue),
            read_batch: size(raw.read_batch, default.read_batch),
            reserve: size(raw.reserve, default.reserve),
            retention: Retention {
                age: raw.max_age.map(DurationText::duration).or(default.retention.age),
                size: raw.max_size.map(|size| ByteSize(size.bytes())).or(default.retention.size),
                undelivered: raw.when_full.unwrap_or_default(),
            },
            ..default
        };
        let mut refuse_if = |wrong: bool, field: &str, message: &str| {
            if wrong {
                problems.push(Problem::at(field, message));
            }
        };
        refuse_if(settings.file_size.bytes() < LEAST_FILE, "file_size", "must be at least `1MiB`");
        refuse_if(settings.file_age.is_zero(), "file_age", "must be longer than zero");
        refuse_if(
            !(1..=MOST_PARTITIONS).contains(&settings.max_partitions),
            "max_partitions",
            "must be between 1 and 1024",
        );
        refuse_if(settings.max_streams == 0, "max_streams", "must be at least 1");
        refuse_if(
            !(1..=MOST_RECORD).contains(&settings.max_record.bytes()),
            "max_record",
            "must be between `1B` and `256MiB`",
        );
        refuse_if(settings.queue.bytes() == 0, "queue", "must be larger than zero");
        refuse_if(settings.read_batch.bytes() == 0, "read_batch", "must be larger than zero");
        let least_total = settings.file_size.bytes().saturating_mul(2);
        refuse_if(
            settings.retention.size.is_some_and(|size| size.bytes() < least_total),
            "max_size",
            "must be at least twice `file_size`, because only whole files are removed",
        );
        problems.or(settings)
    }
}

fn size(given: Option<SizeText>, default: ByteSize) -> ByteSize {
    given.map_or(default, |size| ByteSize(size.bytes()))
}

#[cfg(test)]
mod tests;
