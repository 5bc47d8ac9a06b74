use crate::query::error::QueryParseError;

/// A place in the text of a query.
pub(super) struct Cursor {
    chars: Vec<char>,
    at: usize,
}

/// Characters of a word that an error quotes.
const SHOWN: usize = 24;

impl Cursor {
    pub(super) fn new(text: &str) -> Self {
        Self { chars: text.chars().collect(), at: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.chars.len()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    pub(super) fn peek_second(&self) -> Option<char> {
        self.chars.get(self.at + 1).copied()
    }

    pub(super) fn advance(&mut self) {
        self.at = self.chars.len().min(self.at + 1);
    }

    pub(super) fn eat(&mut self, c: char) -> bool {
        let is_there = self.peek() == Some(c);
        if is_there {
            self.at += 1;
        }
        is_there
    }

    pub(super) fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// Whether the next characters are this keyword and nothing that would make a longer term of it.
    pub(super) fn is_keyword(&self, keyword: &str) -> bool {
        let end = self.at + keyword.len();
        self.chars.get(self.at..end).is_some_and(|found| found.iter().copied().eq(keyword.chars()))
            && self.chars.get(end).is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')'))
    }

    /// Goes over space and the keyword, if it comes next.
    pub(super) fn eat_keyword(&mut self, keyword: &str) -> bool {
        self.skip_space();
        let is_there = self.is_keyword(keyword);
        if is_there {
            self.at += keyword.len();
        }
        is_there
    }

    /// What is here is not what was expected.
    pub(super) fn error(&self, expected: impl Into<String>) -> QueryParseError {
        self.error_at(self.at, expected, self.describe())
    }

    pub(super) fn error_at(
        &self,
        position: usize,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> QueryParseError {
        QueryParseError { column: position + 1, expected: expected.into(), found: found.into() }
    }

    fn describe(&self) -> String {
        let rest = &self.chars[self.at..];
        match rest.first() {
            None => "the end of the query".to_owned(),
            Some(c) if c.is_whitespace() => "a space".to_owned(),
            Some(c) if c.is_alphanumeric() => {
                let word: String = rest.iter().take_while(|c| c.is_alphanumeric()).take(SHOWN).collect();
                format!("`{word}`")
            }
            Some(c) if c.is_control() => format!("`{}`", c.escape_default()),
            Some(c) => format!("`{c}`"),
        }
    }
}
