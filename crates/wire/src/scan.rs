//! The door's look at a request: one pass over the bytes, no objects.
//!
//! What passes is what barito-flow's server would have parsed: the framing is whole, every string is UTF-8, messages
//! are nested at most 10,000 deep. An item that can not be stored for another reason (no content, a value
//! without a kind, deeper than [`weir_model::MAX_DEPTH`]) passes and is a dead letter when it is decoded.
//! Unknown fields, and known ones with another wire type, are skipped.

use weir_model::RecordFormat;

use crate::context::Context;
use crate::entry::{PlainEntry, Scalar};
use crate::protobuf::{Cursor, Field, Malformed, NESTING_LIMIT, Problem, is_utf8};

mod strip;

pub(crate) use self::strip::for_each_field;

/// A request that is well-formed, and what the door needs to know of it.
#[derive(Debug, Clone, Copy)]
pub struct ScannedBatch<'a> {
    bytes: &'a [u8],
    format: RecordFormat,
    items: u32,
    context: Option<Context<'a>>,
    has_secret: bool,
}

impl<'a> ScannedBatch<'a> {
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Under which format the bytes are a record.
    #[must_use]
    pub fn format(&self) -> RecordFormat {
        self.format
    }

    /// How many events the record will have.
    #[must_use]
    pub fn items(&self) -> u32 {
        self.items
    }

    /// The context of the batch; those of the items of a collection count for nothing.
    #[must_use]
    pub fn context(&self) -> Option<&Context<'a>> {
        self.context.as_ref()
    }

    /// The batch with `app_secret` removed from every context, or `None` if none has one.
    #[must_use]
    pub fn without_app_secret(&self) -> Option<Vec<u8>> {
        self.has_secret.then(|| strip::rewrite(self.bytes, self.format))
    }
}

/// Checks the request of `Produce`, a `producer.Timber`.
pub fn scan_timber(bytes: &[u8]) -> Result<ScannedBatch<'_>, Malformed> {
    let mut scanner = Scanner::default();
    let context = scanner.timber(Cursor::outermost(bytes)?)?;
    Ok(ScannedBatch {
        bytes,
        format: RecordFormat::Timber,
        items: 1,
        context,
        has_secret: scanner.has_secret,
    })
}

/// Checks the request of `ProduceBatch`, a `producer.TimberCollection`.
pub fn scan_collection(bytes: &[u8]) -> Result<ScannedBatch<'_>, Malformed> {
    let mut scanner = Scanner::default();
    let mut message = Cursor::outermost(bytes)?;
    let (mut context, mut items) = (None, 0);
    while let Some(field) = message.next_field()? {
        match field {
            Field::Bytes(1, value) => scanner.context(&mut context, message.inner(value))?,
            Field::Bytes(2, value) => {
                items += 1;
                scanner.timber(message.inner(value))?;
            }
            _ => {}
        }
    }
    let format = RecordFormat::TimberCollection;
    Ok(ScannedBatch { bytes, format, items, context, has_secret: scanner.has_secret })
}

/// What is known of a record of weir's own format that was checked, a `weir.v1.Events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScannedEvents<'a> {
    pub index_prefix: &'a str,
    /// How many events it has.
    pub items: u32,
}

/// Checks a `weir.v1.Events` that others made: its structure, and that texts are texts. Whether the contents are JSON
/// objects is found when they are decoded.
pub fn scan_events(bytes: &[u8]) -> Result<ScannedEvents<'_>, Malformed> {
    let mut scanned = ScannedEvents { index_prefix: "", items: 0 };
    let mut message = Cursor::outermost(bytes)?;
    while let Some(field) = message.next_field()? {
        match field {
            Field::Bytes(1, prefix) => scanned.index_prefix = message.utf8(prefix)?,
            Field::Bytes(2, value) => {
                scanned.items += 1;
                let mut event = message.inner(value);
                while let Some(field) = event.next_field()? {
                    if let Field::Bytes(2 | 3, text) = field {
                        event.utf8(text)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(scanned)
}

#[derive(Default)]
struct Scanner<'a> {
    has_secret: bool,
    /// The messages around the one being read. Kept for its memory.
    open: Vec<(Message, Cursor<'a>)>,
}

/// The messages that a content is made of (`google/protobuf/struct.proto`).
#[derive(Clone, Copy)]
enum Message {
    Struct,
    Entry,
    Value,
    List,
}

impl<'a> Scanner<'a> {
    fn context(&mut self, context: &mut Option<Context<'a>>, message: Cursor<'a>) -> Result<(), Malformed> {
        let context = context.get_or_insert_default();
        context.merge(message)?;
        self.has_secret |= context.app_secret.is_some();
        Ok(())
    }

    fn timber(&mut self, mut message: Cursor<'a>) -> Result<Option<Context<'a>>, Malformed> {
        let mut context = None;
        while let Some(field) = message.next_field()? {
            match field {
                Field::Bytes(1, value) => self.context(&mut context, message.inner(value))?,
                Field::Bytes(2, value) => drop(message.utf8(value)?),
                Field::Bytes(3, value) => self.content(message.inner(value))?,
                _ => {}
            }
        }
        Ok(context)
    }

    /// Walks the messages of a content without recursion.
    fn content(&mut self, mut cursor: Cursor<'a>) -> Result<(), Malformed> {
        let mut message = Message::Struct;
        self.open.clear();
        loop {
            let Some(field) = cursor.next_field()? else {
                let Some(outer) = self.open.pop() else { return Ok(()) };
                (message, cursor) = outer;
                continue;
            };
            let (inner, value) = match (message, field) {
                (Message::Struct, Field::Bytes(1, value)) if is_sound(value) => continue,
                (Message::Struct, Field::Bytes(1, value)) => (Message::Entry, value),
                (Message::Entry, Field::Bytes(2, value)) | (Message::List, Field::Bytes(1, value)) => {
                    (Message::Value, value)
                }
                (Message::Value, Field::Bytes(5, value)) => (Message::Struct, value),
                (Message::Value, Field::Bytes(6, value)) => (Message::List, value),
                (Message::Entry, Field::Bytes(1, text)) | (Message::Value, Field::Bytes(3, text)) => {
                    cursor.utf8(text)?;
                    continue;
                }
                _ => continue,
            };
            if self.open.len() == NESTING_LIMIT {
                return Err(cursor.malformed(Problem::Nesting));
            }
            let inner = (inner, cursor.inner(value));
            self.open.push((message, cursor));
            (message, cursor) = inner;
        }
    }
}

/// Whether nothing is wrong with an entry; one that is not plain takes a longer look.
#[inline]
fn is_sound(entry: &[u8]) -> bool {
    PlainEntry::of(entry).is_some_and(|entry| {
        is_utf8(entry.key)
            && match entry.value {
                Scalar::Text(text) => is_utf8(text),
                Scalar::Number(_) | Scalar::Bool(_) => true,
            }
    })
}

#[cfg(test)]
mod tests;
