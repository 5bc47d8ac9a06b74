//! Bodies of weir's own door, `/api/v1/apps/<app>/events`, into records of weir's own format.
//!
//! What can not be stored is named and its neighbours are kept; the text of a JSON event is stored as it
//! came, without the white space around it. The time of a JSON event is the first of these members of its
//! object that is one:
//!
//! 1. `@timestamp`, RFC 3339;
//! 2. `time`, then `ts`: RFC 3339, or a number since 1970 whose magnitude tells its unit: from 10^8 on
//!    seconds (also with a fraction), from 10^11 milliseconds, from 10^14 microseconds, from 10^17
//!    nanoseconds. Each unit so covers 1973-03-03 to the year 5138, nanoseconds as far as 64 bits go. A
//!    smaller number is something else, such as a duration.
//!
//! Where none is, and for lines of text, it is the time of receipt.

use crate::encode::EventsBuilder;
use crate::json::{JsonError, Reader, Rules, Token};

mod inspect;

/// How a body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyFormat {
    /// Lines; one that is a JSON object with members is that event, any other is text.
    Auto,
    /// Lines of text.
    Text,
    /// Lines of JSON, each one object.
    JsonLines,
    /// One JSON array of objects.
    JsonArray,
    /// One JSON object.
    JsonObject,
}

/// What became of the items of a body. Empty lines are no items.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    pub accepted: u32,
    pub rejected: u32,
    /// The first [`NAMED_REJECTIONS`] of the rejected.
    pub rejections: Vec<Rejection>,
}

/// How many rejections are named; the others are counted.
pub const NAMED_REJECTIONS: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Which item of the body, from 0, accepted ones counted.
    pub item: u32,
    /// Which line of the body, from 1; `None` in an array.
    pub line: Option<u32>,
    pub reason: RejectReason,
}

/// Why an item can not be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    #[error("not valid UTF-8")]
    Utf8,
    /// The place is in the item, not in the body.
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("not a JSON object")]
    NoObject,
    #[error("the object has no members")]
    EmptyObject,
}

/// A body of which nothing can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is not valid UTF-8 at byte {at}")]
    Utf8 { at: usize },
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("the body is no JSON array")]
    NoArray,
    #[error("the body has more than {limit} events")]
    TooMany { limit: u32 },
}

/// Adds the events of `body`, at most `limit` of them, to `events`. After an error `events` must not be stored.
pub fn parse(
    body: &[u8],
    format: BodyFormat,
    limit: u32,
    events: &mut EventsBuilder,
) -> Result<Outcome, BodyError> {
    let mut parser = Parser { events, limit, outcome: Outcome::default() };
    match format {
        BodyFormat::Auto => parser.each_line(body, Parser::auto)?,
        BodyFormat::Text => parser.each_line(body, Parser::text)?,
        BodyFormat::JsonLines => parser.each_line(body, Parser::json_line)?,
        BodyFormat::JsonArray => parser.array(body)?,
        BodyFormat::JsonObject => parser.element(trim(utf8(body)?))?,
    }
    Ok(parser.outcome)
}

fn utf8(body: &[u8]) -> Result<&str, BodyError> {
    str::from_utf8(body).map_err(|error| BodyError::Utf8 { at: error.valid_up_to() })
}

struct Parser<'a> {
    events: &'a mut EventsBuilder,
    limit: u32,
    outcome: Outcome,
}

/// Whether a line was an item.
enum Line {
    Item,
    Blank,
}

impl Parser<'_> {
    fn each_line(
        &mut self,
        body: &[u8],
        parse: fn(&mut Self, &str) -> Result<Line, RejectReason>,
    ) -> Result<(), BodyError> {
        let mut start = 0;
        let mut number = 0;
        for end in memchr::memchr_iter(b'\n', body).chain([body.len()]) {
            number += 1;
            let line = body.get(start..end).unwrap_or_default();
            start = end + 1;
            let parsed = match simdutf8::basic::from_utf8(line) {
                Ok(line) => parse(self, line),
                Err(_) => Err(RejectReason::Utf8),
            };
            match parsed {
                Ok(Line::Item) => self.accept()?,
                Ok(Line::Blank) => {}
                Err(reason) => self.reject(Some(number), reason),
            }
        }
        Ok(())
    }

    fn text(&mut self, line: &str) -> Result<Line, RejectReason> {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Ok(Line::Blank);
        }
        self.events.push_line(line, None);
        Ok(Line::Item)
    }

    fn json_line(&mut self, line: &str) -> Result<Line, RejectReason> {
        let json = trim(line);
        if json.is_empty() {
            return Ok(Line::Blank);
        }
        self.json(json)?;
        Ok(Line::Item)
    }

    fn auto(&mut self, line: &str) -> Result<Line, RejectReason> {
        let json = trim(line);
        if json.starts_with('{') && self.json(json).is_ok() {
            return Ok(Line::Item);
        }
        self.text(line)
    }

    fn json(&mut self, json: &str) -> Result<(), RejectReason> {
        let time = inspect::event(json)?;
        self.events.push_json(json, time);
        Ok(())
    }

    fn array(&mut self, body: &[u8]) -> Result<(), BodyError> {
        each_element(utf8(body)?, |element| self.element(element))
    }

    fn element(&mut self, element: &str) -> Result<(), BodyError> {
        match self.json(element) {
            Ok(()) => self.accept()?,
            Err(reason) => self.reject(None, reason),
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<(), BodyError> {
        if self.outcome.accepted == self.limit {
            return Err(BodyError::TooMany { limit: self.limit });
        }
        self.outcome.accepted += 1;
        Ok(())
    }

    #[cold]
    fn reject(&mut self, line: Option<u32>, reason: RejectReason) {
        if self.outcome.rejections.len() < NAMED_REJECTIONS {
            let item = self.outcome.accepted + self.outcome.rejected;
            self.outcome.rejections.push(Rejection { item, line, reason });
        }
        self.outcome.rejected += 1;
    }
}

/// Gives the text of each element. What is wrong inside of an element but leaves it an element (too deep,
/// half a surrogate pair) is left to a closer look at it.
fn each_element<'a>(
    text: &'a str,
    mut visit: impl FnMut(&'a str) -> Result<(), BodyError>,
) -> Result<(), BodyError> {
    let mut reader = Reader::new(text, Rules::GO);
    if reader.next_token()? != Token::ArrayStart {
        return Err(BodyError::NoArray);
    }
    let (mut depth, mut start) = (1_usize, 0);
    loop {
        let after = match reader.next_token()? {
            Token::ObjectStart | Token::ArrayStart => depth + 1,
            Token::ObjectEnd | Token::ArrayEnd => depth.saturating_sub(1),
            Token::Key(_) | Token::Str(_) | Token::Number(_) | Token::Bool(_) | Token::Null => depth,
            Token::End => return Ok(()),
        };
        if depth == 1 && after >= 1 {
            start = reader.value_start();
        }
        depth = after;
        if depth == 1 {
            visit(text.get(start..reader.at()).unwrap_or_default())?;
        }
    }
}

/// Without the white space that JSON allows around a value.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

#[cfg(test)]
mod tests;
