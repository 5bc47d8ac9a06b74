//! Records to events: straight from the bytes onto the tape of an [`EventBatch`].

use std::ops::Range;

use bytes::Bytes;
use weir_model::{
    AppSecret, EventBatch, EventBatchBuilder, IllegalName, IndexPrefix, RecordFormat, Timestamp,
};

use crate::protobuf::{Cursor, Malformed};

mod content;
mod events;
mod timber;

pub use events::decode_content;

/// A record of which no event can be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not decode a record of format `{format}`")]
pub struct DecodeRecordError {
    pub format: RecordFormat,
    #[source]
    pub fault: RecordFault,
    /// Where in the record's value its events are, as far as they were found: each is an original that a
    /// dead letter can keep.
    pub originals: Vec<Range<u32>>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    #[error(transparent)]
    Malformed(Malformed),
    #[error("the index prefix `{prefix}` is illegal")]
    IndexPrefix { prefix: String, source: IllegalName },
}

/// Decodes records one after the other, with memory that the next one uses again.
#[derive(Debug, Default)]
pub struct RecordDecoder {
    originals: Vec<Range<u32>>,
    builder: EventBatchBuilder,
    /// That of the last record: most have the same.
    prefix: Option<IndexPrefix>,
}

impl RecordDecoder {
    /// Decodes a record's value. `received` is the time of events that name none.
    ///
    /// An event that can not be stored is in the batch with its fault; its neighbours are not affected. Events
    /// are in the order of the record, so their indices are those of their positions.
    pub fn decode(
        &mut self,
        format: RecordFormat,
        value: &Bytes,
        received: Timestamp,
    ) -> Result<EventBatch, DecodeRecordError> {
        let mut outline = Outline { originals: std::mem::take(&mut self.originals), ..Outline::default() };
        let prefix = match read_outline(format, value, &mut outline) {
            Ok(()) => self.index_prefix(outline.index_prefix),
            Err(malformed) => Err(RecordFault::Malformed(malformed)),
        };
        let Outline { mut originals, app_secret, .. } = outline;
        let prefix = match prefix {
            Ok(prefix) => prefix,
            Err(fault) => return Err(DecodeRecordError { format, fault, originals }),
        };
        let builder = &mut self.builder;
        // Events of two bytes are possible, but not worth memory in advance.
        builder.reserve(originals.len().min(value.len() / 16), value.len());
        for original in originals.drain(..) {
            match format {
                RecordFormat::Timber | RecordFormat::TimberCollection => {
                    timber::decode(builder, value, original, received);
                }
                RecordFormat::Events => events::decode(builder, value, original, received),
            }
        }
        self.originals = originals;
        Ok(self.builder.take(prefix, value.clone()).of_app(AppSecret::new(app_secret)))
    }

    fn index_prefix(&mut self, prefix: &str) -> Result<IndexPrefix, RecordFault> {
        if let Some(known) = self.prefix.as_ref().filter(|known| known.as_str() == prefix) {
            return Ok(known.clone());
        }
        let fault = |source| RecordFault::IndexPrefix { prefix: prefix.to_owned(), source };
        let prefix = IndexPrefix::new(prefix).map_err(fault)?;
        Ok(self.prefix.insert(prefix).clone())
    }
}

/// Decodes one record, as [`RecordDecoder::decode`] does.
pub fn decode_record(
    format: RecordFormat,
    value: &Bytes,
    received: Timestamp,
) -> Result<EventBatch, DecodeRecordError> {
    RecordDecoder::default().decode(format, value, received)
}

/// What a record is made of, before its events are decoded.
#[derive(Debug, Default)]
struct Outline<'a> {
    index_prefix: &'a str,
    app_secret: &'a str,
    originals: Vec<Range<u32>>,
}

fn read_outline<'a>(
    format: RecordFormat,
    value: &'a [u8],
    outline: &mut Outline<'a>,
) -> Result<(), Malformed> {
    let message = Cursor::outermost(value)?;
    match format {
        RecordFormat::Timber => timber::outline_timber(message, outline),
        RecordFormat::TimberCollection => timber::outline_collection(message, outline),
        RecordFormat::Events => events::outline(message, outline),
    }
}

/// The bytes that an outline found.
fn slice<'a>(value: &'a [u8], range: &Range<u32>) -> &'a [u8] {
    value.get(range.start as usize..range.end as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests;
