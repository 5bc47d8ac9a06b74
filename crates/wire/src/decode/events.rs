//! Records of weir's own format, `weir.v1.Events` (`proto/weir/v1/events.proto`).

use std::ops::Range;

use weir_model::{EventBatchBuilder, EventFault, Timestamp};

use super::Outline;
use crate::json::{JsonError, JsonProblem, Reader, Rules, Token};
use crate::protobuf::{Cursor, Field, Malformed};

pub(super) fn outline<'a>(mut events: Cursor<'a>, outline: &mut Outline<'a>) -> Result<(), Malformed> {
    while let Some(field) = events.next_field()? {
        match field {
            Field::Bytes(1, prefix) => outline.index_prefix = events.utf8(prefix)?,
            Field::Bytes(2, value) => outline.originals.push(events.range_of(value)),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn decode(
    builder: &mut EventBatchBuilder,
    value: &[u8],
    original: Range<u32>,
    received: Timestamp,
) {
    builder.begin_event();
    let (time, content) = match parts(super::slice(value, &original)) {
        Ok(parts) => parts,
        Err(malformed) => return builder.reject_event(received, original, malformed.into()),
    };
    let time = time.unwrap_or(received);
    let decoded = match content {
        Some(Content::Json(json)) => decode_content(json, builder),
        Some(Content::Message(line)) => message(builder, line),
        None => Err(EventFault::MissingContent),
    };
    match decoded {
        Ok(()) => builder.finish_event(time, original),
        Err(fault) => builder.reject_event(time, original, fault),
    }
}

enum Content<'a> {
    Json(&'a str),
    Message(&'a str),
}

/// The time and the content of a `weir.v1.Event`.
fn parts(event: &[u8]) -> Result<(Option<Timestamp>, Option<Content<'_>>), Malformed> {
    let (mut time, mut content) = (None, None);
    let mut cursor = Cursor::new(event);
    while let Some(field) = cursor.next_field()? {
        match field {
            Field::Fixed64(1, micros) => time = Some(Timestamp::from_micros(micros.cast_signed())),
            Field::Bytes(2, json) => content = Some(Content::Json(cursor.utf8(json)?)),
            Field::Bytes(3, line) => content = Some(Content::Message(cursor.utf8(line)?)),
            _ => {}
        }
    }
    Ok((time, content))
}

fn message(builder: &mut EventBatchBuilder, line: &str) -> Result<(), EventFault> {
    builder.start_object()?;
    builder.key("message")?;
    builder.str(line)?;
    Ok(builder.end()?)
}

/// Puts one JSON object into the event that `builder` has open. Keys keep their order, also those that occur
/// twice.
pub fn decode_content(json: &str, builder: &mut EventBatchBuilder) -> Result<(), EventFault> {
    let mut reader = Reader::new(json, Rules::EVENT);
    if !matches!(reader.next_token()?, Token::ObjectStart) {
        return Err(EventFault::Undecodable("the JSON value is no object".to_owned()));
    }
    builder.start_object()?;
    loop {
        match reader.next_token()? {
            Token::ObjectStart => builder.start_object()?,
            Token::ArrayStart => builder.start_array()?,
            Token::ObjectEnd | Token::ArrayEnd => builder.end()?,
            Token::Key(key) => builder.key(key)?,
            Token::Str(text) => builder.str(text)?,
            Token::Number(text) => builder.number(text)?,
            Token::Bool(value) => builder.bool(value),
            Token::Null => builder.null(),
            Token::End => return Ok(()),
        }
    }
}

impl From<JsonError> for EventFault {
    fn from(error: JsonError) -> Self {
        match error.problem {
            JsonProblem::TooDeep { .. } => Self::TooDeep,
            _ => Self::Undecodable(error.to_string()),
        }
    }
}
