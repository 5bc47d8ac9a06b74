//! A JSON reader (RFC 8259) that gives tokens: no tree, no recursion, and nothing of the text is lost.
//!
//! Why not a library: numbers must come with their text, errors with their place, duplicate keys in order,
//! depth must be bounded without using the stack, and input of strangers should meet no `unsafe` code.

mod number;
mod strings;

pub(crate) use number::double;

use crate::json::strings::Text;

/// What a reader is willing to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// How many objects and arrays may be open.
    pub(crate) depth: usize,
    pub(crate) lone_surrogate: LoneSurrogate,
}

/// What to do with `\u` and half a surrogate pair: no Unicode text can hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoneSurrogate {
    Refuse,
    /// U+FFFD instead.
    Replace,
}

impl Rules {
    /// For what goes into an event: it is kept as it is or refused.
    pub(crate) const EVENT: Self =
        Self { depth: weir_model::MAX_DEPTH, lone_surrogate: LoneSurrogate::Refuse };
    /// As Go's `encoding/json` reads, and so barito-flow's REST gateway.
    pub(crate) const GO: Self = Self { depth: 10_000, lone_surrogate: LoneSurrogate::Replace };
}

/// JSON text that does not follow the grammar, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {at}")]
pub struct JsonError {
    /// Offset into the text.
    pub at: usize,
    pub problem: JsonProblem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonProblem {
    #[error("expected {0}")]
    Expected(&'static str),
    #[error("the text ends too early")]
    Truncated,
    #[error("a control character must be escaped")]
    ControlCharacter,
    #[error("no such escape sequence")]
    Escape,
    #[error("half a surrogate pair")]
    LoneSurrogate,
    #[error("no such number")]
    Number,
    #[error("nested more than {limit} deep")]
    TooDeep { limit: usize },
}

/// A piece of JSON. Strings are unescaped; numbers are as they were written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'t> {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    Key(&'t str),
    Str(&'t str),
    Number(&'t str),
    Bool(bool),
    Null,
    /// The text is over; comes again when asked again.
    End,
}

#[derive(Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    value_start: usize,
    rules: Rules,
    expected: Expected,
    open: Nesting,
    /// The last string that had escape sequences.
    unescaped: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Value,
    FirstElementOrEnd,
    FirstKeyOrEnd,
    CommaOrEnd,
    EndOfText,
}

/// The objects and arrays around the current place: one bit each, the innermost lowest.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    is_object: u64,
    /// Full words of the outer ones.
    outer: Vec<u64>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str, rules: Rules) -> Self {
        Self {
            text,
            at: 0,
            rules,
            value_start: 0,
            expected: Expected::Value,
            open: Nesting::default(),
            unescaped: String::new(),
        }
    }

    /// The offset of the scalar, object or array that began last.
    pub(crate) fn value_start(&self) -> usize {
        self.value_start
    }

    /// The offset after the last token.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next token. After an error the reader is of no more use.
    #[inline]
    pub(crate) fn next_token(&mut self) -> Result<Token<'_>, JsonError> {
        let byte = self.skip_space();
        match self.expected {
            Expected::Value => self.value(byte),
            Expected::FirstElementOrEnd if byte == Some(b']') => Ok(self.close()),
            Expected::FirstElementOrEnd => self.value(byte),
            Expected::FirstKeyOrEnd if byte == Some(b'}') => Ok(self.close()),
            Expected::FirstKeyOrEnd => self.key(byte),
            Expected::CommaOrEnd => self.member_or_end(byte),
            Expected::EndOfText if byte.is_none() => Ok(Token::End),
            Expected::EndOfText => Err(self.unexpected("the end of the text")),
        }
    }

    #[inline]
    fn member_or_end(&mut self, byte: Option<u8>) -> Result<Token<'_>, JsonError> {
        let in_object = self.open.innermost_is_object();
        match byte {
            Some(b',') => {
                self.at += 1;
                let byte = self.skip_space();
                if in_object { self.key(byte) } else { self.value(byte) }
            }
            Some(b'}') if in_object => Ok(self.close()),
            Some(b']') if !in_object => Ok(self.close()),
            _ if in_object => Err(self.unexpected("`,` or `}`")),
            _ => Err(self.unexpected("`,` or `]`")),
        }
    }

    #[inline]
    fn key(&mut self, byte: Option<u8>) -> Result<Token<'_>, JsonError> {
        if byte != Some(b'"') {
            return Err(self.unexpected("a key in double quotes"));
        }
        let key = self.string()?;
        if self.skip_space() != Some(b':') {
            return Err(self.unexpected("`:`"));
        }
        self.at += 1;
        self.expected = Expected::Value;
        Ok(Token::Key(self.resolve(key)))
    }

    #[inline]
    fn value(&mut self, byte: Option<u8>) -> Result<Token<'_>, JsonError> {
        self.value_start = self.at;
        match byte {
            Some(b'{') => self.open(true).map(|()| Token::ObjectStart),
            Some(b'[') => self.open(false).map(|()| Token::ArrayStart),
            Some(b'"') => {
                let text = self.string()?;
                self.value_is_read();
                Ok(Token::Str(self.resolve(text)))
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                self.value_is_read();
                Ok(Token::Number(number))
            }
            Some(b't') => self.literal("true", Token::Bool(true)),
            Some(b'f') => self.literal("false", Token::Bool(false)),
            Some(b'n') => self.literal("null", Token::Null),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn open(&mut self, is_object: bool) -> Result<(), JsonError> {
        let limit = self.rules.depth;
        if self.open.depth == limit {
            return Err(self.error(JsonProblem::TooDeep { limit }));
        }
        self.open.push(is_object);
        self.at += 1;
        self.expected = if is_object { Expected::FirstKeyOrEnd } else { Expected::FirstElementOrEnd };
        Ok(())
    }

    #[inline]
    fn close(&mut self) -> Token<'static> {
        let token = if self.open.innermost_is_object() { Token::ObjectEnd } else { Token::ArrayEnd };
        self.open.pop();
        self.at += 1;
        self.value_is_read();
        token
    }

    #[inline]
    fn value_is_read(&mut self) {
        self.expected = if self.open.depth == 0 { Expected::EndOfText } else { Expected::CommaOrEnd };
    }

    fn literal(&mut self, word: &'static str, token: Token<'static>) -> Result<Token<'_>, JsonError> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        self.value_is_read();
        Ok(token)
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let length = number::length(self.rest()).ok_or(self.error(JsonProblem::Number))?;
        let start = self.at;
        self.at += length;
        Ok(self.slice(start))
    }

    #[inline]
    fn string(&mut self) -> Result<Text, JsonError> {
        self.unescaped.clear();
        let text = strings::read(self.text, self.at, self.rules.lone_surrogate, &mut self.unescaped)?;
        self.at = text.after;
        Ok(text)
    }

    #[inline]
    fn resolve(&self, text: Text) -> &str {
        match text.plain {
            Some((start, end)) => self.text.get(start..end).unwrap_or_default(),
            None => &self.unescaped,
        }
    }

    #[inline]
    fn skip_space(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    fn slice(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    #[cold]
    fn unexpected(&self, expected: &'static str) -> JsonError {
        let is_over = self.at >= self.text.len();
        self.error(if is_over { JsonProblem::Truncated } else { JsonProblem::Expected(expected) })
    }

    #[cold]
    fn error(&self, problem: JsonProblem) -> JsonError {
        JsonError { at: self.at, problem }
    }
}

impl Nesting {
    #[inline]
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.is_object);
        }
        self.is_object = self.is_object << 1 | u64::from(is_object);
        self.depth += 1;
    }

    #[inline]
    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.is_object >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.is_object = self.outer.pop().unwrap_or_default();
        }
    }

    #[inline]
    fn innermost_is_object(&self) -> bool {
        self.is_object & 1 == 1
    }
}

#[cfg(test)]
mod tests;
