//! The value of a record as it is on disk: compressed, with a checksum over everything that the row says.
//!
//! ```text
//! 0..4   CRC-32C, little endian, of: bytes 4.. of the frame, then the label, then offset and first event
//! 4      codec: 0 stored, 1 LZ4 block, 2 zstd frame
//! 5..9   length of the value before compression, little endian
//! 9..    the value
//! ```
//!
//! The label is the record's other columns in a fixed form, so that a flipped bit in any of them is noticed.
//! Offset and first event come last because the writer assigns them after the caller has summed the rest.

use std::cell::RefCell;

use bytes::Bytes;
use lz4_flex::block::CompressTable;
use weir_model::{BatchTag, Incarnation, Record, RecordFormat, Timestamp};

use super::section::{Codec, MOST_RECORD};

const HEADER: usize = 9;
const STORED: u8 = 0;
const LZ4: u8 = 1;
const ZSTD: u8 = 2;

/// Everything that a record's row says beside its value and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) incarnation: Incarnation,
    /// Number of the partition in the file.
    pub(super) partition: u32,
    pub(super) events: u32,
    pub(super) received: Timestamp,
    pub(super) format: RecordFormat,
    pub(super) batch: Option<BatchTag>,
}

/// A value on its way to the disk; `seal` completes it.
#[derive(Debug)]
pub(super) struct Frame {
    bytes: Vec<u8>,
    sum: u32,
}

/// Why a frame does not give its value back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum DamagedFrame {
    #[error("the frame has only {0} bytes")]
    Short(usize),
    #[error("the checksum does not match")]
    Checksum,
    #[error("codec {0} is not known")]
    Codec(u8),
    #[error("the value does not decompress")]
    Value,
}

impl Label {
    pub(super) fn of(record: &Record, incarnation: Incarnation, partition: u32) -> Self {
        Self {
            incarnation,
            partition,
            events: record.events.unwrap_or(0),
            received: record.received,
            format: record.format,
            batch: record.batch,
        }
    }

    fn sum(&self, sum: u32) -> u32 {
        let sum = crc32c::crc32c_append(sum, &self.incarnation.0.to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &self.partition.to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &self.events.to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &self.received.micros().to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &[format_code(self.format)]);
        match self.batch {
            None => sum,
            Some(tag) => {
                let sum = crc32c::crc32c_append(sum, &tag.id.to_le_bytes());
                crc32c::crc32c_append(sum, &tag.digest.to_le_bytes())
            }
        }
    }
}

impl Frame {
    /// Compresses the value; what does not get smaller is stored as it is.
    pub(super) fn new(codec: Codec, label: &Label, value: &[u8]) -> Self {
        // Callers refuse values above `Settings::max_record`, which is far below 4 GiB.
        let length = u32::try_from(value.len()).expect("a record is smaller than 4 GiB");
        let bytes = match codec {
            Codec::None => stored(length, value),
            Codec::Lz4 => lz4(length, value).unwrap_or_else(|| stored(length, value)),
            Codec::Zstd => zstd(length, value).unwrap_or_else(|| stored(length, value)),
        };
        let sum = label.sum(crc32c::crc32c(bytes.get(4..).unwrap_or_default()));
        Self { bytes, sum }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes for the disk at this place.
    pub(super) fn seal(&mut self, offset: u64, first_event: u64) -> &[u8] {
        let sum = place_sum(self.sum, offset, first_event);
        if let Some(head) = self.bytes.first_chunk_mut::<4>() {
            *head = sum.to_le_bytes();
        }
        &self.bytes
    }
}

/// Length of the value before compression, as the frame claims it; not verified.
pub(super) fn claimed_length(frame: &[u8]) -> usize {
    match frame.get(5..HEADER).and_then(|bytes| bytes.first_chunk::<4>()) {
        Some(bytes) => u32::from_le_bytes(*bytes) as usize,
        None => 0,
    }
}

/// The value, if the frame and everything beside it is what was written.
pub(super) fn open(
    frame: Vec<u8>,
    label: &Label,
    offset: u64,
    first_event: u64,
) -> Result<Bytes, DamagedFrame> {
    let (Some(head), Some(codec)) = (frame.first_chunk::<4>(), frame.get(4).copied()) else {
        return Err(DamagedFrame::Short(frame.len()));
    };
    let body = frame.get(4..).unwrap_or_default();
    let sum = place_sum(label.sum(crc32c::crc32c(body)), offset, first_event);
    if sum != u32::from_le_bytes(*head) {
        return Err(DamagedFrame::Checksum);
    }
    unpack(frame, codec)
}

/// The value of a frame, given from its codec on; none if it is refused. For the fuzz target, which would never
/// guess a checksum.
#[doc(hidden)]
#[must_use]
pub fn value_of_frame(summed: &[u8]) -> Option<Bytes> {
    let codec = *summed.first()?;
    unpack([&[0; 4], summed].concat(), codec).ok()
}

fn unpack(frame: Vec<u8>, codec: u8) -> Result<Bytes, DamagedFrame> {
    let length = claimed_length(&frame);
    // Before there is memory for it.
    if length as u64 > MOST_RECORD {
        return Err(DamagedFrame::Value);
    }
    let Some(payload) = frame.get(HEADER..) else {
        return Err(DamagedFrame::Short(frame.len()));
    };
    match codec {
        STORED if payload.len() == length => Ok(Bytes::from(frame).slice(HEADER..)),
        LZ4 => unpacked(lz4_flex::block::decompress(payload, length).ok(), length),
        ZSTD => unpacked(zstd::bulk::decompress(payload, length).ok(), length),
        STORED => Err(DamagedFrame::Value),
        other => Err(DamagedFrame::Codec(other)),
    }
}

/// On disk a format is a number that never changes its meaning.
pub(super) fn format_code(format: RecordFormat) -> u8 {
    match format {
        RecordFormat::Timber => 1,
        RecordFormat::TimberCollection => 2,
        RecordFormat::Events => 3,
    }
}

pub(super) fn format_of(code: i64) -> Option<RecordFormat> {
    match code {
        1 => Some(RecordFormat::Timber),
        2 => Some(RecordFormat::TimberCollection),
        3 => Some(RecordFormat::Events),
        _ => None,
    }
}

fn place_sum(sum: u32, offset: u64, first_event: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(sum, &offset.to_le_bytes()), &first_event.to_le_bytes())
}

fn unpacked(value: Option<Vec<u8>>, length: usize) -> Result<Bytes, DamagedFrame> {
    value.filter(|value| value.len() == length).map(Bytes::from).ok_or(DamagedFrame::Value)
}

fn header(codec: u8, length: u32, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + capacity);
    bytes.extend_from_slice(&[0; 4]);
    bytes.push(codec);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes
}

fn stored(length: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = header(STORED, length, value.len());
    bytes.extend_from_slice(value);
    bytes
}

/// Above this a scratch buffer is not kept for the next value.
const SCRATCH_LIMIT: usize = 1 << 20;

const ZSTD_LEVEL: i32 = 1;

thread_local! {
    static LZ4_TABLE: RefCell<CompressTable> = RefCell::new(CompressTable::large());
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Made once per thread, because making it costs as much as compressing a small value.
    static ZSTD_CONTEXT: RefCell<Option<zstd::bulk::Compressor<'static>>> =
        RefCell::new(zstd::bulk::Compressor::new(ZSTD_LEVEL).ok());
}

fn lz4(length: u32, value: &[u8]) -> Option<Vec<u8>> {
    compress(LZ4, length, value, lz4_flex::block::get_maximum_output_size(value.len()), |scratch| {
        LZ4_TABLE
            .with_borrow_mut(|table| lz4_flex::block::compress_into_with_table(value, scratch, table).ok())
    })
}

fn zstd(length: u32, value: &[u8]) -> Option<Vec<u8>> {
    compress(ZSTD, length, value, zstd::zstd_safe::compress_bound(value.len()), |scratch| {
        ZSTD_CONTEXT.with_borrow_mut(|context| context.as_mut()?.compress_to_buffer(value, scratch).ok())
    })
}

/// `fill` writes into the scratch buffer of the thread and says how much; the copy has the exact size, since
/// many frames wait at once.
fn compress(
    codec: u8,
    length: u32,
    value: &[u8],
    bound: usize,
    fill: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> Option<Vec<u8>> {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < bound {
            scratch.resize(bound, 0);
        }
        let filled = fill(scratch);
        let frame =
            filled.filter(|&size| size < value.len()).and_then(|size| scratch.get(..size)).map(|packed| {
                let mut bytes = header(codec, length, packed.len());
                bytes.extend_from_slice(packed);
                bytes
            });
        if scratch.len() > SCRATCH_LIMIT {
            *scratch = Vec::new();
        }
        frame
    })
}

#[cfg(test)]
mod tests;
