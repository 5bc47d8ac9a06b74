//! A close look at one JSON event: is it an object that can be stored, and does it name a time?

use weir_model::Timestamp;

use super::RejectReason;
use crate::json::{Reader, Rules, Token};
use crate::time::{parse_epoch, parse_rfc3339};

/// The time that the event names, if it names one.
pub(super) fn event(json: &str) -> Result<Option<Timestamp>, RejectReason> {
    let mut reader = Reader::new(json, Rules::EVENT);
    let mut found = Found::default();
    let mut member = Member::Other;
    let (mut depth, mut is_empty) = (0_usize, true);
    loop {
        let token = reader.next_token()?;
        if depth == 0 && !matches!(token, Token::ObjectStart | Token::ObjectEnd | Token::End) {
            return Err(RejectReason::NoObject);
        }
        match token {
            Token::ObjectStart | Token::ArrayStart => depth += 1,
            Token::ObjectEnd | Token::ArrayEnd => depth = depth.saturating_sub(1),
            Token::Key(key) if depth == 1 => {
                is_empty = false;
                member = Member::of(key);
            }
            Token::Str(text) if depth == 1 => found.text(member, text),
            Token::Number(text) if depth == 1 => found.number(member, text),
            Token::Key(_) | Token::Str(_) | Token::Number(_) | Token::Bool(_) | Token::Null => {}
            Token::End if is_empty => return Err(RejectReason::EmptyObject),
            Token::End => return Ok(found.at_timestamp.or(found.time).or(found.ts)),
        }
    }
}

/// The members of an event that can be its time.
#[derive(Debug, Clone, Copy)]
enum Member {
    AtTimestamp,
    Time,
    Ts,
    Other,
}

impl Member {
    fn of(key: &str) -> Self {
        match key {
            "@timestamp" => Self::AtTimestamp,
            "time" => Self::Time,
            "ts" => Self::Ts,
            _ => Self::Other,
        }
    }
}

/// The times that were found; of a member that occurs twice the last one.
#[derive(Debug, Default)]
struct Found {
    at_timestamp: Option<Timestamp>,
    time: Option<Timestamp>,
    ts: Option<Timestamp>,
}

impl Found {
    fn text(&mut self, member: Member, text: &str) {
        match member {
            Member::AtTimestamp => self.at_timestamp = parse_rfc3339(text.as_bytes()),
            Member::Time => self.time = parse_rfc3339(text.as_bytes()),
            Member::Ts => self.ts = parse_rfc3339(text.as_bytes()),
            Member::Other => {}
        }
    }

    fn number(&mut self, member: Member, text: &str) {
        match member {
            Member::Time => self.time = parse_epoch(text),
            Member::Ts => self.ts = parse_epoch(text),
            Member::AtTimestamp | Member::Other => {}
        }
    }
}
