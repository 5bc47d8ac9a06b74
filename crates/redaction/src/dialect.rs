//! Regular expressions as Go writes them (RE2), for the `regex` crate.
//!
//! The two engines find the same matches but do not read the same text. Where they differ, an expression is
//! rewritten:
//!
//! * `\d \w \s \b` and their opposites are of ASCII; `\s` has no vertical tab.
//! * A `{` that begins no repetition is itself, which expressions on JSON are full of.
//! * In a class, `[`, `&&`, `--` and `~~` are characters.
//! * `\Q…\E`, octal escapes, escaped punctuation (here `\<` would be the start of a word).
//!
//! What Go refuses (`(?x)`, `\Z`, a reference to a group) is refused. Its limit of 1,000 repetitions is not kept:
//! the size of the compiled expression is limited.

use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

/// An expression that can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("the expression ends within a class, a group or an escape sequence")]
    Unfinished,
    #[error("`\\{0}` is no escape sequence of Go's regular expressions")]
    Escape(char),
    #[error("Go's regular expressions have no flag `{0}`")]
    Flag(char),
    #[error("`{0}` is no class of characters")]
    Class(String),
    #[error("the range `{0}-{1}` is empty")]
    EmptyRange(char, char),
    #[error("the expression takes more than {limit} bytes when compiled")]
    TooLarge { limit: usize },
    #[error("{0}")]
    Syntax(String),
}

/// What a compiled expression may take: a thousand times that of an ordinary one.
const SIZE_LIMIT: usize = 4 << 20;
/// Of the expression as it is written.
const LENGTH_LIMIT: usize = 64 << 10;

/// Compiles an expression of Go.
pub(crate) fn compile(pattern: &str) -> Result<Regex, PatternError> {
    if pattern.len() > LENGTH_LIMIT {
        return Err(PatternError::TooLarge { limit: LENGTH_LIMIT });
    }
    let translated = Translation::of(pattern)?;
    let built = RegexBuilder::new(&translated).size_limit(SIZE_LIMIT).nest_limit(100).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => PatternError::TooLarge { limit },
        error => PatternError::Syntax(last_line(&error.to_string())),
    })
}

/// Without the drawing of the translated expression, which nobody wrote.
fn last_line(message: &str) -> String {
    let line = message.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().trim_start_matches("error: ").to_owned()
}

struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
}

const DIGITS: &str = "0-9";
const SPACES: &str = "\\t\\n\\x0C\\r ";
const WORDS: &str = "0-9A-Za-z_";

const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

impl<'a> Translation<'a> {
    fn of(pattern: &'a str) -> Result<String, PatternError> {
        let mut translation =
            Self { rest: pattern.chars().peekable(), out: String::with_capacity(pattern.len()) };
        while let Some(c) = translation.rest.next() {
            match c {
                '\\' => translation.escape()?,
                '[' => translation.class()?,
                '(' => translation.group()?,
                '{' => translation.brace(),
                // Elsewhere these two are literal in both dialects.
                '}' | ']' => translation.literal(c),
                _ => translation.out.push(c),
            }
        }
        Ok(translation.out)
    }

    fn next(&mut self) -> Result<char, PatternError> {
        self.rest.next().ok_or(PatternError::Unfinished)
    }

    /// A character that means itself, in a class or not.
    fn literal(&mut self, c: char) {
        if c.is_ascii() && !c.is_ascii_alphanumeric() {
            self.out.push_str(&format!("\\x{{{:X}}}", u32::from(c)));
        } else {
            self.out.push(c);
        }
    }

    /// Behind a backslash, outside of a class.
    fn escape(&mut self) -> Result<(), PatternError> {
        match self.next()? {
            'd' => self.push_class("", DIGITS),
            'D' => self.push_class("^", DIGITS),
            's' => self.push_class("", SPACES),
            'S' => self.push_class("^", SPACES),
            'w' => self.push_class("", WORDS),
            'W' => self.push_class("^", WORDS),
            'b' => self.out.push_str("(?-u:\\b)"),
            'B' => self.out.push_str("(?-u:\\B)"),
            'A' => self.out.push_str("\\A"),
            'z' => self.out.push_str("\\z"),
            'Q' => self.quote(),
            c @ ('p' | 'P') => self.property(c)?,
            c => {
                let c = self.character(c)?;
                self.literal(c);
            }
        }
        Ok(())
    }

    fn push_class(&mut self, negation: &str, members: &str) {
        self.out.push_str(&format!("[{negation}{members}]"));
    }

    /// Up to `\E` or the end everything is itself.
    fn quote(&mut self) {
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.literal(c);
        }
    }

    /// Behind `\p` or `\P`.
    fn property(&mut self, kind: char) -> Result<(), PatternError> {
        let mut name = String::new();
        match self.next()? {
            '{' => loop {
                match self.next()? {
                    '}' => break,
                    c => name.push(c),
                }
            },
            c => name.push(c),
        }
        let (kind, name) = match (kind, name.strip_prefix('^')) {
            (kind, None) => (kind, name.as_str()),
            ('p', Some(name)) => ('P', name),
            (_, Some(name)) => ('p', name),
        };
        let known = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.is_empty() || !known {
            return Err(PatternError::Class(name.to_owned()));
        }
        self.out.push_str(&format!("\\{kind}{{{name}}}"));
        Ok(())
    }

    /// The character that an escape sequence stands for, of which `c` is the first after the backslash.
    fn character(&mut self, c: char) -> Result<char, PatternError> {
        match c {
            'a' => Ok('\u{7}'),
            'f' => Ok('\u{c}'),
            't' => Ok('\t'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            'v' => Ok('\u{b}'),
            'x' => self.hexadecimal(),
            '0'..='7' => self.octal(c),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(c),
            c => Err(PatternError::Escape(c)),
        }
    }

    fn hexadecimal(&mut self) -> Result<char, PatternError> {
        let mut digits = String::new();
        match self.next()? {
            '{' => loop {
                match self.next()? {
                    '}' => break,
                    c => digits.push(c),
                }
            },
            c => digits.extend([c, self.next()?]),
        }
        let hexadecimal = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit());
        let code = u32::from_str_radix(&digits, 16).ok().filter(|_| hexadecimal);
        code.and_then(char::from_u32).ok_or(PatternError::Escape('x'))
    }

    /// `\1` to `\7` alone would be a reference to a group.
    fn octal(&mut self, first: char) -> Result<char, PatternError> {
        let digit = |c: char| c.to_digit(8);
        if first != '0' && self.rest.peek().is_none_or(|c| digit(*c).is_none()) {
            return Err(PatternError::Escape(first));
        }
        let mut code = digit(first).unwrap_or_default();
        for _ in 0..2 {
            let Some(next) = self.rest.next_if(|c| digit(*c).is_some()).and_then(digit) else { break };
            code = code * 8 + next;
        }
        char::from_u32(code).ok_or(PatternError::Escape(first))
    }

    /// Behind an opening parenthesis.
    fn group(&mut self) -> Result<(), PatternError> {
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_none() {
            return Ok(());
        }
        self.out.push('?');
        // A name is `?P<…>` or `?<…>`; the other engine reads it as it is.
        if matches!(self.rest.peek(), Some('P' | '<')) {
            return Ok(());
        }
        loop {
            let c = self.next()?;
            if !matches!(c, 'i' | 'm' | 's' | 'U' | '-' | ':' | ')') {
                return Err(PatternError::Flag(c));
            }
            self.out.push(c);
            if matches!(c, ':' | ')') {
                return Ok(());
            }
        }
    }

    /// Behind an opening brace: a repetition, or the brace itself.
    fn brace(&mut self) {
        let ahead: String = self.rest.clone().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
        let closed = self.rest.clone().nth(ahead.chars().count()) == Some('}');
        let (least, most) = ahead.split_once(',').unwrap_or((&ahead, ""));
        if !closed || least.is_empty() || most.contains(',') {
            return self.literal('{');
        }
        self.out.push('{');
        self.out.push_str(&ahead);
        self.out.push('}');
        self.rest.nth(ahead.chars().count());
    }

    /// Behind an opening bracket.
    fn class(&mut self) -> Result<(), PatternError> {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let c = self.next()?;
            match c {
                ']' if !first => break,
                '[' if self.rest.peek() == Some(&':') => self.posix()?,
                '\\' => match self.next()? {
                    'd' => self.out.push_str(DIGITS),
                    's' => self.out.push_str(SPACES),
                    'w' => self.out.push_str(WORDS),
                    'D' => self.push_class("^", DIGITS),
                    'S' => self.push_class("^", SPACES),
                    'W' => self.push_class("^", WORDS),
                    c @ ('p' | 'P') => self.property(c)?,
                    c => {
                        let low = self.character(c)?;
                        self.range(low)?;
                    }
                },
                low => self.range(low)?,
            }
            first = false;
        }
        self.out.push(']');
        Ok(())
    }

    /// Behind a bracket before a colon: a class by name, `[:alpha:]`, or the bracket itself.
    fn posix(&mut self) -> Result<(), PatternError> {
        let ahead: String = self.rest.clone().take_while(|c| *c != ']').collect();
        let Some(name) = ahead.strip_prefix(':').and_then(|name| name.strip_suffix(':')) else {
            return self.range('[');
        };
        let word = name.strip_prefix('^').unwrap_or(name);
        if !POSIX.contains(&word) {
            return Err(PatternError::Class(format!("[{ahead}]")));
        }
        self.out.push_str(&format!("[:{name}:]"));
        self.rest.nth(ahead.chars().count());
        Ok(())
    }

    /// The member `low` of a class, or the range that begins with it.
    fn range(&mut self, low: char) -> Result<(), PatternError> {
        let mut ahead = self.rest.clone();
        let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']');
        if !is_range {
            self.literal(low);
            return Ok(());
        }
        self.next()?;
        let high = match self.next()? {
            '\\' => {
                let c = self.next()?;
                self.character(c)?
            }
            c => c,
        };
        if high < low {
            return Err(PatternError::EmptyRange(low, high));
        }
        self.literal(low);
        self.out.push('-');
        self.literal(high);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
