use std::fmt;
use std::sync::Arc;

/// An operator: one to 64 characters of `a-z 0-9 . _ -`, beginning with a letter or digit.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperatorName(Arc<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an operator's name has 1 to 64 characters of `a-z 0-9 . _ -` and begins with a letter or digit")]
pub struct IllegalOperatorName;

/// What people call something: one to 100 characters, none of which ends a line or moves the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Title(Arc<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a title has 1 to 100 characters that can be printed")]
pub struct IllegalTitle;

impl OperatorName {
    pub fn new(name: &str) -> Result<Self, IllegalOperatorName> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_legal = name.len() <= 64
            && name.starts_with(plain)
            && name.chars().all(|c| plain(c) || matches!(c, '.' | '_' | '-'));
        if is_legal { Ok(Self(name.into())) } else { Err(IllegalOperatorName) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Title {
    pub fn new(text: &str) -> Result<Self, IllegalTitle> {
        let is_legal = (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if is_legal { Ok(Self(text.into())) } else { Err(IllegalTitle) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OperatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorName({self})")
    }
}

impl fmt::Display for OperatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_operators() {
        let check = |name: &str, legal: bool| assert_eq!(OperatorName::new(name).is_ok(), legal, "{name:?}");
        check("admin", true);
        check("ann.lee-2_x", true);
        check(&"a".repeat(64), true);
        check(&"a".repeat(65), false);
        check("", false);
        check("-a", false);
        check("Ann", false);
        check("a b", false);
        check("ä", false);
    }

    #[test]
    fn titles() {
        let check = |title: &str, legal: bool| assert_eq!(Title::new(title).is_ok(), legal, "{title:?}");
        check("Nodes of Köln, rack 7", true);
        check(&"ä".repeat(100), true);
        check(&"ä".repeat(101), false);
        check("", false);
        check("a\nb", false);
        check("\u{1b}[2J", false);
    }
}
