use std::fmt;
use std::sync::Arc;

/// A tenant that produces events, as named by clients and operators.
///
/// One to 200 characters of `a-z A-Z 0-9 . _ -`, not starting with a dot, so that a name can be part of
/// a stream name, a path of the API and a metric label without quoting.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppName(Arc<str>);

/// The part of an index name before the day: `<prefix>-YYYY.MM.DD`.
///
/// One to 200 characters of `a-z 0-9 . _ - +`, not starting with `. _ - +`: what every store accepts as
/// the start of an index name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexPrefix(Arc<str>);

/// What an app calls itself towards a registry of apps, as barito-flow's clients send it. Whoever has it can send in
/// the app's name: its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppSecret(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalName {
    #[error("must not be empty")]
    Empty,
    #[error("has {length} characters, the limit is {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("must not start with `{0}`")]
    BadStart(char),
    #[error("must not contain `{character}` (position {position})", character = .character.escape_default())]
    BadCharacter { character: char, position: usize },
}

const LENGTH_LIMIT: usize = 200;

impl AppName {
    pub fn new(name: &str) -> Result<Self, IllegalName> {
        check(name, &['.'], |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))?;
        Ok(Self(name.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl IndexPrefix {
    pub fn new(prefix: &str) -> Result<Self, IllegalName> {
        check(prefix, &['.', '_', '-', '+'], |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '+')
        })?;
        Ok(Self(prefix.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AppSecret {
    /// None if there is nothing to call it by.
    #[must_use]
    pub fn new(secret: &str) -> Option<Self> {
        (!secret.is_empty()).then(|| Self(secret.into()))
    }

    /// The secret itself, for whoever has to be told it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn check(name: &str, bad_starts: &[char], legal: fn(char) -> bool) -> Result<(), IllegalName> {
    let first = name.chars().next().ok_or(IllegalName::Empty)?;
    let length = name.chars().count();
    if length > LENGTH_LIMIT {
        return Err(IllegalName::TooLong { length, limit: LENGTH_LIMIT });
    }
    if bad_starts.contains(&first) {
        return Err(IllegalName::BadStart(first));
    }
    match name.chars().enumerate().find(|(_, c)| !legal(*c)) {
        Some((position, character)) => Err(IllegalName::BadCharacter { character, position }),
        None => Ok(()),
    }
}

macro_rules! text_form {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )*};
}
text_form!(AppName, IndexPrefix);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_prefix_is_what_every_store_accepts() {
        let check = |text: &str, expected: Result<(), IllegalName>| {
            assert_eq!(IndexPrefix::new(text).map(|_| ()), expected, "{text:?}");
        };
        check("shop", Ok(()));
        check("shop-eu.1_a+b", Ok(()));
        check("", Err(IllegalName::Empty));
        check("Shop", Err(IllegalName::BadCharacter { character: 'S', position: 0 }));
        check("_shop", Err(IllegalName::BadStart('_')));
        check("..", Err(IllegalName::BadStart('.')));
        check("a/b", Err(IllegalName::BadCharacter { character: '/', position: 1 }));
        check("a\n", Err(IllegalName::BadCharacter { character: '\n', position: 1 }));
        check(&"a".repeat(201), Err(IllegalName::TooLong { length: 201, limit: 200 }));
    }

    #[test]
    fn an_app_may_have_capitals_but_no_path_parts() {
        assert!(AppName::new("Shop").is_ok());
        assert_eq!(AppName::new("../x"), Err(IllegalName::BadStart('.')));
        assert_eq!(AppName::new("a b"), Err(IllegalName::BadCharacter { character: ' ', position: 1 }));
    }
}
