//! A segment's rows, back as chunks.

use std::sync::Arc;

use arrow_array::types::{Int32Type, TimestampMicrosecondType, UInt32Type, UInt64Type};
use arrow_array::{ArrayRef, DictionaryArray, PrimitiveArray, RecordBatch, StringArray};

use super::super::chunk::{Chunk, Heads, SharedChunk};
use super::super::field::Field;
use super::super::file::{INDEX, OFFSET, RAW, RECEIVED, REST, SOURCE, TIME};
use super::super::open::{ReadSegmentError, Segment};
use super::super::rows::Rows;
use super::super::source::{SourceId, Sources, parse_source};

/// Appends a chunk for each row group.
pub(super) fn load(
    segment: &Segment,
    sources: &Sources,
    chunks: &mut Vec<SharedChunk>,
) -> Result<(), ReadSegmentError> {
    let id = segment.info.id;
    let contents = segment.contents()?;
    for (index, group) in contents.groups.iter().enumerate() {
        let batch = contents.read(id, index, 0..contents.columns.len(), &Rows::from(0..group.rows))?;
        let chunk = chunk_of(&batch, sources).ok_or(ReadSegmentError::Damaged(id, "a column is missing"))?;
        chunks.push(Arc::new(chunk));
    }
    Ok(())
}

fn chunk_of(batch: &RecordBatch, sources: &Sources) -> Option<Chunk> {
    let heads = heads_of(batch, sources)?;
    let schema = batch.schema();
    let fields = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .filter_map(|(column, array)| Some((Field::of_column(column.name())?, Arc::clone(array))))
        .collect();
    Some(Chunk {
        min_time: heads.times.iter().copied().min()?,
        max_time: heads.times.iter().copied().max()?,
        heads,
        fields,
        raw: batch.column_by_name(RAW).cloned(),
        rest: batch.column_by_name(REST).cloned(),
        bytes: batch.get_array_memory_size(),
    })
}

/// The columns that every row has, of a batch that holds them all.
pub(in super::super) fn heads_of(batch: &RecordBatch, sources: &Sources) -> Option<Heads> {
    let times = |name: &str| {
        let array = batch.column_by_name(name)?;
        let array = array.as_any().downcast_ref::<PrimitiveArray<TimestampMicrosecondType>>()?;
        Some(array.values().to_vec())
    };
    let offsets = batch.column_by_name(OFFSET)?.as_any().downcast_ref::<PrimitiveArray<UInt64Type>>()?;
    let indexes = batch.column_by_name(INDEX)?.as_any().downcast_ref::<PrimitiveArray<UInt32Type>>()?;
    Some(Heads {
        times: times(TIME)?,
        received: times(RECEIVED)?,
        sources: sources_of(batch.column_by_name(SOURCE)?, sources)?,
        offsets: offsets.values().to_vec(),
        indexes: indexes.values().to_vec(),
    })
}

pub(in super::super) fn sources_of(array: &ArrayRef, sources: &Sources) -> Option<Vec<SourceId>> {
    let array = array.as_any().downcast_ref::<DictionaryArray<Int32Type>>()?;
    let names = array.values().as_any().downcast_ref::<StringArray>()?;
    let ids: Vec<SourceId> =
        names.iter().map(|name| sources.find(&parse_source(name?)?)).collect::<Option<_>>()?;
    array.keys().values().iter().map(|key| ids.get(usize::try_from(*key).ok()?).copied()).collect()
}
