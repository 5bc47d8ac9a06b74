//! Regular expressions of users.

use regex::{Regex, RegexBuilder};

/// A compiled expression. Two are the same that are written alike.
#[derive(Debug, Clone)]
pub(crate) struct Expression(Regex);

/// An expression that is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpressionError {
    #[error("must not be empty")]
    Empty,
    #[error("must have at most {LENGTH} bytes")]
    Long,
    #[error("takes more than {limit} bytes of memory when compiled")]
    Large { limit: usize },
    #[error("is no regular expression: {0}")]
    Syntax(String),
}

/// Bytes of an expression as it is written.
const LENGTH: usize = 8 << 10;

/// Bytes of a compiled one: hundreds of times what an ordinary one takes.
const SIZE: usize = 1 << 20;

/// Bytes that it may remember between texts to be fast.
const CACHE: usize = 1 << 20;

/// Groups within groups.
const NESTING: u32 = 100;

impl Expression {
    pub(crate) fn compile(pattern: &str) -> Result<Self, ExpressionError> {
        if pattern.is_empty() {
            return Err(ExpressionError::Empty);
        }
        if pattern.len() > LENGTH {
            return Err(ExpressionError::Long);
        }
        let mut builder = RegexBuilder::new(pattern);
        let built = builder.size_limit(SIZE).dfa_size_limit(CACHE).nest_limit(NESTING).build();
        built.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => ExpressionError::Large { limit },
            error => ExpressionError::Syntax(reason(&error.to_string())),
        })
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    pub(crate) fn regex(&self) -> &Regex {
        &self.0
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// The last line, without the drawing of where it is wrong.
fn reason(message: &str) -> String {
    let line = message.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_that_are_too_much_are_refused() {
        let check = |pattern: &str, expected: Option<&str>| {
            let error = Expression::compile(pattern).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), expected, "{pattern:.40}");
        };
        check(r"^\d{4}-\d\d", None);
        check(r"(?i)err|\p{Greek}", None);
        check("", Some("must not be empty"));
        check("(a", Some("is no regular expression: unclosed group"));
        check(r"(a)\1", Some("is no regular expression: backreferences are not supported"));
        check("(((a{1,100}){1,100}){1,100})", Some("takes more than 1048576 bytes of memory when compiled"));
        check(r"\w{1000}", Some("takes more than 1048576 bytes of memory when compiled"));
        check(&"a".repeat(LENGTH + 1), Some("must have at most 8192 bytes"));
        let deep = format!("{}{}", "(".repeat(200), ")".repeat(200));
        check(
            &deep,
            Some("is no regular expression: exceed the maximum number of nested parentheses/brackets (100)"),
        );
    }
}
