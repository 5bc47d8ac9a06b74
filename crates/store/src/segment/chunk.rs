//! A run of rows in memory, as columns. A head is a list of chunks and one builder.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::ArrayRef;
use weir_model::{Content, Object, Timestamp, Value};

use super::column::{ColumnBuilder, TextBuilder};
use super::field::{Field, Kind};
use super::schema::{Meeting, NodeId, Place, ROOT, Schema};
use super::source::SourceId;

/// Rows of a full chunk: as many as a page of a segment holds.
pub(super) const CHUNK_ROWS: usize = 8192;

/// What a row has beside its content.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowHead {
    pub(super) time: Timestamp,
    pub(super) received: Timestamp,
    pub(super) source: SourceId,
    pub(super) offset: u64,
    pub(super) index: u32,
}

#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) heads: Heads,
    pub(super) fields: Vec<(Field, ArrayRef)>,
    /// The whole content as JSON text, for rows that their columns do not give back.
    pub(super) raw: Option<ArrayRef>,
    /// A JSON object from path to value, for fields that have no column.
    pub(super) rest: Option<ArrayRef>,
    pub(super) min_time: i64,
    pub(super) max_time: i64,
    pub(super) bytes: usize,
}

/// The columns that every row has.
#[derive(Debug, Clone, Default)]
pub(super) struct Heads {
    pub(super) times: Vec<i64>,
    pub(super) received: Vec<i64>,
    pub(super) sources: Vec<SourceId>,
    pub(super) offsets: Vec<u64>,
    pub(super) indexes: Vec<u32>,
}

#[derive(Debug, Clone)]
pub(super) struct ChunkBuilder {
    heads: Heads,
    columns: Vec<ColumnBuilder>,
    raw: Option<TextBuilder>,
    rest: Option<TextBuilder>,
    min_time: i64,
    max_time: i64,
    /// Of what does not come with every row.
    value_bytes: usize,
    /// That a row takes at the least: every column has a place for it.
    row_bytes: usize,
}

/// What a row left over beside its columns.
#[derive(Default)]
struct Leftover {
    repeated_key: bool,
    rest: String,
}

impl Chunk {
    pub(super) fn rows(&self) -> usize {
        self.heads.times.len()
    }
}

impl Heads {
    fn push(&mut self, head: RowHead) {
        self.times.push(head.time.micros());
        self.received.push(head.received.micros());
        self.sources.push(head.source);
        self.offsets.push(head.offset);
        self.indexes.push(head.index);
    }
}

impl ChunkBuilder {
    pub(super) fn new() -> Self {
        Self {
            heads: Heads::default(),
            columns: Vec::new(),
            raw: None,
            rest: None,
            min_time: i64::MAX,
            max_time: i64::MIN,
            value_bytes: 0,
            row_bytes: size_of::<RowHead>(),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.heads.times.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.value_bytes + self.rows() * self.row_bytes
    }

    /// Appends a row; `stamp` numbers the rows of the schema from 1 and never repeats.
    pub(super) fn push(&mut self, schema: &mut Schema, stamp: u64, head: RowHead, content: Content<'_>) {
        let row = self.rows();
        let mut leftover = Leftover::default();
        self.object(schema, ROOT, content, Row { row, stamp }, &mut leftover);
        if leftover.repeated_key {
            let text = content.to_string();
            self.value_bytes += self.raw.get_or_insert_with(|| TextBuilder::new(true)).set(row, &text);
        }
        if !leftover.rest.is_empty() {
            leftover.rest.push('}');
            self.value_bytes +=
                self.rest.get_or_insert_with(|| TextBuilder::new(true)).set(row, &leftover.rest);
        }
        self.min_time = self.min_time.min(head.time.micros());
        self.max_time = self.max_time.max(head.time.micros());
        self.heads.push(head);
    }

    fn object(
        &mut self,
        schema: &mut Schema,
        node: NodeId,
        object: Object<'_>,
        row: Row,
        leftover: &mut Leftover,
    ) {
        for (key, value) in object.entries() {
            match schema.meet(node, key, row.stamp) {
                Meeting::Again => leftover.repeated_key = true,
                Meeting::Unknown => leftover.add(&schema.path_of(node, key), value),
                Meeting::First(child) => match value {
                    Value::Object(nested) if !nested.is_empty() => {
                        self.object(schema, child, nested, row, leftover);
                    }
                    _ => self.leaf(schema, child, value, row.row, leftover),
                },
            }
        }
    }

    fn leaf(
        &mut self,
        schema: &mut Schema,
        node: NodeId,
        value: Value<'_>,
        row: usize,
        leftover: &mut Leftover,
    ) {
        let Place::Column(index) = schema.place(node, kind_of(value)) else {
            return leftover.add(schema.path(node), value);
        };
        while self.columns.len() <= index {
            let state = &schema.fields[self.columns.len()];
            self.columns.push(ColumnBuilder::new(state.field.kind, state.many_values));
            self.row_bytes += state.field.kind.slot();
        }
        self.value_bytes += match (&mut self.columns[index], value) {
            (ColumnBuilder::Text(column), Value::Str(text) | Value::Number(text)) => column.set(row, text),
            (ColumnBuilder::Text(column), other) => column.set(row, &other.to_string()),
            (ColumnBuilder::Int(column), Value::Int(value)) => set(|| column.set(row, value)),
            (ColumnBuilder::Float(column), Value::Float(value)) => set(|| column.set(row, value)),
            (ColumnBuilder::Bool(column), Value::Bool(value)) => set(|| column.set(row, value)),
            (ColumnBuilder::Bool(column), _) => set(|| column.set(row, true)),
            (ColumnBuilder::Int(_) | ColumnBuilder::Float(_), _) => 0,
        };
    }

    /// Ends the chunk. The schema remembers which texts were too many for a dictionary.
    pub(super) fn finish(self, schema: &mut Schema) -> Chunk {
        for (state, column) in schema.fields.iter_mut().zip(&self.columns) {
            state.many_values = column.has_many_values();
        }
        self.into_chunk(schema)
    }

    /// The rows so far; the builder goes on.
    pub(super) fn snapshot(&self, schema: &Schema) -> Chunk {
        self.clone().into_chunk(schema)
    }

    fn into_chunk(self, schema: &Schema) -> Chunk {
        let (rows, bytes) = (self.rows(), self.bytes());
        let fields = schema
            .fields
            .iter()
            .zip(self.columns)
            .map(|(state, column)| (state.field.clone(), column.finish(rows)))
            .filter(|(_, array)| array.null_count() < rows)
            .collect();
        Chunk {
            heads: self.heads,
            fields,
            raw: self.raw.map(|column| column.finish(rows)),
            rest: self.rest.map(|column| column.finish(rows)),
            min_time: self.min_time,
            max_time: self.max_time,
            bytes,
        }
    }
}

#[derive(Clone, Copy)]
struct Row {
    row: usize,
    stamp: u64,
}

/// A value that takes no more than its slot.
fn set(set: impl FnOnce()) -> usize {
    set();
    0
}

fn kind_of(value: Value<'_>) -> Kind {
    match value {
        Value::Null => Kind::Null,
        Value::Bool(_) => Kind::Bool,
        Value::Int(_) => Kind::Int,
        Value::Float(_) => Kind::Float,
        Value::Str(_) => Kind::Text,
        Value::Number(_) | Value::Array(_) | Value::Object(_) => Kind::Json,
    }
}

impl Leftover {
    fn add(&mut self, path: &str, value: Value<'_>) {
        self.rest.push(if self.rest.is_empty() { '{' } else { ',' });
        write!(self.rest, "{}:{value}", Value::Str(path)).expect("a String takes everything");
    }
}

/// A shared chunk: searches hold on to it while the head goes on.
pub(super) type SharedChunk = Arc<Chunk>;
