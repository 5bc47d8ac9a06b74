//! What stands in the stream: one event a note, its content a JSON object, so that it can be read with any tool.
//!
//! ```json
//! {"dead_letter": {"id": "shop_logs-000000000000001f-3-42.7", "part": 0, "parts": 1, "events": 1,
//!   "received": 1700000000000000, "died": 1700000001000000, "prefix": "shop", "format": "Timber",
//!   "code": "rejected", "message": "mapper_parsing_exception: …", "original": "CgVzaG9w…"}}
//! {"purged": ["shop_logs-000000000000001f-3-42.7"]}
//! ```
//!
//! Times are microseconds since 1970, `original` is base64. A letter that is too large for one record comes in
//! parts, one after the other and each with all fields; it is there when its last part is. The first letter of an id
//! stands, and stays purged once it was: whoever reads all notes in order knows what there is.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use weir_model::{EventId, IndexPrefix, RecordFormat, Timestamp};
use weir_store::{DeadLetter, DeadReason};

/// Bytes of a letter's original in one part. As base64 and with its fields it fits a record of Kafka with the
/// usual limit of a megabyte.
const PART: usize = 512 << 10;

/// Letters of which some parts came and others did not: of processes that died while they wrote them.
const UNFINISHED: usize = 64;

/// One note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A letter, whole.
    Letter(Box<DeadLetter>),
    /// These letters are no longer kept.
    Purged(Vec<EventId>),
}

/// A text that is no note.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// It has another shape.
    #[error("it is no note about dead letters")]
    Json(#[from] serde_json::Error),
    /// A field has a value that it can not have.
    #[error("`{field}` of a dead letter is wrong")]
    Field { field: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Text {
    DeadLetter(Part),
    Purged(Vec<String>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Part {
    id: String,
    part: u32,
    parts: u32,
    events: u32,
    received: i64,
    died: i64,
    prefix: Option<String>,
    format: String,
    code: String,
    message: String,
    original: String,
}

/// Puts letters together of their parts. Notes have to come in the order of the stream.
#[derive(Debug, Default)]
pub struct Reader {
    unfinished: VecDeque<Unfinished>,
}

#[derive(Debug)]
struct Unfinished {
    id: String,
    next: u32,
    original: Vec<u8>,
}

/// The notes of a letter, one a part.
#[must_use]
pub fn letter(letter: &DeadLetter) -> Vec<String> {
    let whole = letter.original.chunks(PART);
    let parts = u32::try_from(whole.len().max(1)).unwrap_or(u32::MAX);
    let whole = whole.chain(letter.original.is_empty().then_some(&[][..]));
    let note = |(part, original): (u32, &[u8])| {
        text(&Text::DeadLetter(Part {
            id: EventId(letter.position.clone()).to_string(),
            part,
            parts,
            events: letter.events,
            received: letter.received.micros(),
            died: letter.died.micros(),
            prefix: letter.prefix.as_ref().map(|prefix| prefix.as_str().to_owned()),
            format: letter.format.as_str().to_owned(),
            code: letter.reason.code.clone(),
            message: letter.reason.message.clone(),
            original: BASE64_STANDARD.encode(original),
        }))
    };
    (0..).zip(whole).map(note).collect()
}

/// The note that these letters are no longer kept.
#[must_use]
pub fn purged(ids: &[EventId]) -> String {
    text(&Text::Purged(ids.iter().map(EventId::to_string).collect()))
}

fn text(text: &Text) -> String {
    serde_json::to_string(text).expect("texts and numbers have a JSON form")
}

impl Reader {
    /// What the text says; nothing if it is a part of a letter and others are missing.
    pub fn read(&mut self, text: &str) -> Result<Option<Note>, NoteError> {
        match serde_json::from_str(text)? {
            Text::Purged(ids) => {
                let ids = ids.iter().map(|id| id.parse().map_err(|error| wrong("purged", error)));
                Ok(Some(Note::Purged(ids.collect::<Result<_, _>>()?)))
            }
            Text::DeadLetter(part) => self.part(part),
        }
    }

    fn part(&mut self, part: Part) -> Result<Option<Note>, NoteError> {
        let bytes = BASE64_STANDARD.decode(&part.original).map_err(|error| wrong("original", error))?;
        let Some(original) = self.gather(&part, bytes) else { return Ok(None) };
        let id: EventId = part.id.parse().map_err(|error| wrong("id", error))?;
        let prefix = part.prefix.as_deref().map(IndexPrefix::new).transpose();
        Ok(Some(Note::Letter(Box::new(DeadLetter {
            position: id.0,
            events: part.events,
            received: Timestamp::from_micros(part.received),
            died: Timestamp::from_micros(part.died),
            prefix: prefix.map_err(|error| wrong("prefix", error))?,
            format: part.format.parse::<RecordFormat>().map_err(|error| wrong("format", error))?,
            reason: DeadReason { code: part.code, message: part.message },
            original: original.into(),
        }))))
    }

    /// The whole original, once its last part is there.
    fn gather(&mut self, part: &Part, bytes: Vec<u8>) -> Option<Vec<u8>> {
        // A first part begins anew: whoever wrote the others may have died.
        let known = self.unfinished.iter().position(|letter| letter.id == part.id);
        let before = known.and_then(|at| self.unfinished.remove(at));
        let mut original = match (part.part, before) {
            (0, _) => bytes,
            (number, Some(before)) if before.next == number => [before.original, bytes].concat(),
            _ => return None,
        };
        if part.part.saturating_add(1) >= part.parts {
            original.shrink_to_fit();
            return Some(original);
        }
        self.unfinished.push_back(Unfinished { id: part.id.clone(), next: part.part + 1, original });
        if self.unfinished.len() > UNFINISHED {
            self.unfinished.pop_front();
        }
        None
    }
}

fn wrong(field: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> NoteError {
    NoteError::Field { field, source: Box::new(source) }
}

#[cfg(test)]
mod tests;
