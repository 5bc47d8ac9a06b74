use super::{Parsed, Parser};
use crate::query::ast::{Pattern, Test, Wildcard, WildcardPart};

/// A run of characters of a query, quoted or not.
pub(super) enum Text {
    Quoted(String),
    /// Texts that touch are one part.
    Unquoted(Vec<WildcardPart>),
}

/// What a colon does to a text without quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Colon {
    /// It ends the text, which was the name of a field.
    Ends,
    /// It is part of the text.
    Kept,
    /// It is part of the text, which also ends before `]` and `}`.
    InRange,
    /// It is an error: a field has been named already.
    Refused,
}

impl Text {
    /// The text, if it has no wildcards.
    pub(super) fn literal(&self) -> Option<&str> {
        match self {
            Self::Quoted(text) => Some(text),
            Self::Unquoted(parts) => match parts.as_slice() {
                [] => Some(""),
                [WildcardPart::Text(text)] => Some(text),
                _ => None,
            },
        }
    }

    /// The text, if it has neither wildcards nor quotes.
    pub(super) fn plain(&self) -> Option<&str> {
        if self.is_quoted() { None } else { self.literal() }
    }

    pub(super) fn is_quoted(&self) -> bool {
        matches!(self, Self::Quoted(_))
    }

    /// Whether it is nothing but `*`.
    pub(super) fn is_everything(&self) -> bool {
        match self {
            Self::Quoted(_) => false,
            Self::Unquoted(parts) => {
                !parts.is_empty() && parts.iter().all(|part| *part == WildcardPart::AnyRun)
            }
        }
    }

    /// The text, wildcards being what they were written as.
    pub(super) fn verbatim(&self) -> String {
        match self {
            Self::Quoted(text) => text.clone(),
            Self::Unquoted(parts) => parts
                .iter()
                .map(|part| match part {
                    WildcardPart::Text(text) => text.as_str(),
                    WildcardPart::AnyCharacter => "?",
                    WildcardPart::AnyRun => "*",
                })
                .collect(),
        }
    }

    /// What the text says as a value to find; absent if it is empty.
    pub(super) fn test(&self) -> Option<Test> {
        if self.is_everything() {
            return Some(Test::Exists);
        }
        match (self.literal(), self) {
            (Some(""), _) => None,
            (Some(text), _) => Some(Test::Term(Pattern::new(text))),
            (None, Self::Unquoted(parts)) => {
                Some(Test::Term(Pattern::Wildcard(Wildcard::new(parts.iter().cloned()))))
            }
            (None, Self::Quoted(_)) => None,
        }
    }
}

impl Parser {
    /// Reads to the end of a text; it is legal there.
    pub(super) fn text(&mut self, colon: Colon) -> Parsed<Text> {
        if self.cursor.eat('"') {
            let text = Text::Quoted(self.quoted()?);
            match (colon, self.cursor.peek()) {
                (Colon::Ends, Some(':')) | (Colon::InRange, Some(']' | '}')) => {}
                _ => self.end_of_text()?,
            }
            Ok(text)
        } else {
            self.unquoted(colon)
        }
    }

    fn quoted(&mut self) -> Parsed<String> {
        let mut text = String::new();
        loop {
            match self.cursor.peek() {
                None => return Err(self.cursor.error("`\"` at the end of the quoted text")),
                Some('"') => {
                    self.cursor.advance();
                    return Ok(text);
                }
                Some('\\') => text.push(self.escaped()?),
                Some(c) => {
                    self.cursor.advance();
                    text.push(c);
                }
            }
        }
    }

    fn unquoted(&mut self, colon: Colon) -> Parsed<Text> {
        let mut parts = Vec::new();
        loop {
            let c = match self.cursor.peek() {
                None | Some('(' | ')') => break,
                Some(c) if c.is_whitespace() => break,
                Some(':') if colon == Colon::Ends => break,
                Some(']' | '}') if colon == Colon::InRange => break,
                Some(':') if colon == Colon::Refused => {
                    return Err(self.cursor.error(
                        "a value of the field before the parentheses (one with a colon in it needs quotes)",
                    ));
                }
                Some('"') => {
                    return Err(self
                        .cursor
                        .error("a space before the quotes, or `\\` if it is part of the text"));
                }
                Some('\\') => {
                    push(&mut parts, self.escaped()?);
                    continue;
                }
                Some('?') => {
                    self.count_any_character()?;
                    '?'
                }
                Some(c) => c,
            };
            self.cursor.advance();
            match c {
                '*' => parts.push(WildcardPart::AnyRun),
                '?' => parts.push(WildcardPart::AnyCharacter),
                _ => push(&mut parts, c),
            }
        }
        Ok(Text::Unquoted(parts))
    }

    /// The character behind a `\`. Letters and digits are kept for meanings yet to come, and so that a
    /// backslash which was meant as one is noticed.
    fn escaped(&mut self) -> Parsed<char> {
        self.cursor.advance();
        match self.cursor.peek() {
            Some(c) if !c.is_alphanumeric() => {
                self.cursor.advance();
                Ok(c)
            }
            _ => Err(self
                .cursor
                .error("a character that is no letter or digit behind `\\` (`\\\\` is a backslash)")),
        }
    }

    /// Behind a quoted text or a range.
    pub(super) fn end_of_text(&self) -> Parsed<()> {
        match self.cursor.peek() {
            None | Some('(' | ')') => Ok(()),
            Some(c) if c.is_whitespace() => Ok(()),
            Some(_) => Err(self.cursor.error("a space")),
        }
    }
}

fn push(parts: &mut Vec<WildcardPart>, c: char) {
    match parts.last_mut() {
        Some(WildcardPart::Text(text)) => text.push(c),
        _ => parts.push(WildcardPart::Text(c.into())),
    }
}
