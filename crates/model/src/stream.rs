use std::fmt;
use std::sync::Arc;

/// The full name of a stream: prefix, name and suffix, as a Kafka topic would be called.
///
/// 1 to 249 characters of `a-z A-Z 0-9 . _ -`, neither `.` nor `..`: legal in Kafka and in a file name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(Arc<str>);

/// Which life of a stream: a random number made with it, so that offsets that start again are never
/// mistaken for old ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(pub u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionIndex(pub u32);

/// The place of a record in its partition; the first record has offset 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(pub u64);

/// One partition of one life of a stream. Cloning is cheap.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamPartition {
    pub stream: StreamName,
    pub incarnation: Incarnation,
    pub partition: PartitionIndex,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalStreamName {
    #[error("a stream name must not be empty")]
    Empty,
    #[error("a stream name has at most {limit} characters, this one has {length}")]
    TooLong { length: usize, limit: usize },
    #[error("`{0}` is no stream name")]
    Dots(String),
    #[error("a stream name must not contain `{character}` (position {position})", character = .character.escape_default())]
    BadCharacter { character: char, position: usize },
}

const LENGTH_LIMIT: usize = 249;

impl StreamName {
    pub fn new(name: &str) -> Result<Self, IllegalStreamName> {
        if name.is_empty() {
            return Err(IllegalStreamName::Empty);
        }
        let length = name.chars().count();
        if length > LENGTH_LIMIT {
            return Err(IllegalStreamName::TooLong { length, limit: LENGTH_LIMIT });
        }
        if name == "." || name == ".." {
            return Err(IllegalStreamName::Dots(name.to_owned()));
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match name.chars().enumerate().find(|(_, c)| !legal(*c)) {
            Some((position, character)) => Err(IllegalStreamName::BadCharacter { character, position }),
            None => Ok(Self(name.into())),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Offset {
    pub const ZERO: Self = Self(0);
    /// Behind every record.
    pub const MAX: Self = Self(u64::MAX);

    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamName({})", self.0)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({self})")
    }
}

impl fmt::Display for PartitionIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `<stream>/<partition>`, for messages and metrics; the incarnation is left out.
impl fmt::Display for StreamPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_name_is_a_legal_topic() {
        let check = |text: &str, legal: bool| assert_eq!(StreamName::new(text).is_ok(), legal, "{text:?}");
        check("shop_logs", true);
        check("Shop.eu-1_logs", true);
        check("...", true);
        check("", false);
        check(".", false);
        check("..", false);
        check("a/b", false);
        check("käse", false);
        check(&"a".repeat(249), true);
        check(&"a".repeat(250), false);
    }
}
