//! A JSON object by its members.

use std::borrow::Cow;

use crate::json::{JsonError, Reader, Rules, Token};

/// Why a text is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MembersError {
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("not a JSON object")]
    NoObject,
}

/// Tells the members of an object that could be an event's content, in their order: key, and value as it is written. A
/// key that occurs twice is told twice.
pub fn members<'t>(json: &'t str, mut tell: impl FnMut(Cow<'t, str>, &'t str)) -> Result<(), MembersError> {
    let mut reader = Reader::new(json, Rules::EVENT);
    if reader.next_token()? != Token::ObjectStart {
        return Err(MembersError::NoObject);
    }
    loop {
        let before = reader.at();
        let Token::Key(key) = reader.next_token()? else { break };
        let key = as_written(json, before, key).map_or_else(|| Cow::Owned(key.to_owned()), Cow::Borrowed);
        let mut depth = usize::from(matches!(reader.next_token()?, Token::ObjectStart | Token::ArrayStart));
        let start = reader.value_start();
        while depth > 0 {
            match reader.next_token()? {
                Token::ObjectStart | Token::ArrayStart => depth += 1,
                Token::ObjectEnd | Token::ArrayEnd => depth -= 1,
                Token::Key(_)
                | Token::Str(_)
                | Token::Number(_)
                | Token::Bool(_)
                | Token::Null
                | Token::End => {}
            }
        }
        tell(key, json.get(start..reader.at()).unwrap_or_default());
    }
    match reader.next_token()? {
        Token::End => Ok(()),
        _ => Err(MembersError::NoObject),
    }
}

/// The key that is written behind this place, if it needs no unescaping.
fn as_written<'t>(json: &'t str, behind: usize, key: &str) -> Option<&'t str> {
    let (_, written) = json.get(behind..)?.split_once('"')?;
    written.get(..key.len()).filter(|written| *written == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: Result<&[(&str, &str)], &str>) {
        let mut found = Vec::new();
        let outcome = members(json, |key, value| found.push((key, value)));
        let found: Vec<_> = found.iter().map(|(key, value)| (&**key, *value)).collect();
        let outcome = outcome.map(|()| found.as_slice()).map_err(|error| error.to_string());
        assert_eq!(outcome, expected.map_err(str::to_owned), "{json}");
    }

    #[test]
    fn members_are_told_as_they_are_written() {
        check("{}", Ok(&[]));
        check(" { } \n", Ok(&[]));
        check(
            r#"{"a": 1.50, "b":"x\n","\u0061": [1, {"c": []}] , "d":{} }"#,
            Ok(&[("a", "1.50"), ("b", r#""x\n""#), ("a", r#"[1, {"c": []}]"#), ("d", "{}")]),
        );
        check(r#"{"\\":1,"a\"b":2,"":3, "ü":4}"#, Ok(&[("\\", "1"), ("a\"b", "2"), ("", "3"), ("ü", "4")]));
        check(r#"{"n":null,"t":true,"e":1e400}"#, Ok(&[("n", "null"), ("t", "true"), ("e", "1e400")]));
    }

    #[test]
    fn what_is_no_event_is_refused() {
        check("[]", Err("not a JSON object"));
        check("\"a\"", Err("not a JSON object"));
        check("", Err("the text ends too early at byte 0"));
        check(r#"{"a":1"#, Err("the text ends too early at byte 6"));
        check(r#"{"a":1} x"#, Err("expected the end of the text at byte 8"));
        check(r#"{"a":"\ud800"}"#, Err("half a surrogate pair at byte 6"));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
        check(&deep, Err("nested more than 64 deep at byte 68"));
    }
}
