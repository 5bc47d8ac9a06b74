//! Names of an instance of weir and of those who belong to it.
//!
//! In certificates they are URIs as SPIFFE writes them: `spiffe://<instance>/server` for the servers of an
//! instance, `spiffe://<instance>/agent/<name>` for an agent, `spiffe://<instance>` for its authorities.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use weir_model::IllegalName;

use crate::{random, text};

/// An instance of weir: everything that one control plane decides about.
///
/// One to 63 characters of `a-z 0-9 -`, not starting with `-`: what a trust domain of SPIFFE may be called.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(Arc<str>);

/// An agent, within its instance.
///
/// One to 200 characters of `a-z A-Z 0-9 . _ -`, not starting with a dot, so that it can be a part of a path, a label
/// and a file name without quoting.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentName(Arc<str>);

/// An agent of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentIdentity {
    pub instance: InstanceId,
    pub agent: AgentName,
}

/// Whom a certificate is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Who issues certificates of the instance.
    Authority(InstanceId),
    /// A server of the instance.
    Server(InstanceId),
    Agent(AgentIdentity),
}

/// A text that is nobody's name in an instance of weir.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it names neither an authority nor a server nor an agent of weir")]
pub struct IllegalSubject;

const LONGEST_INSTANCE: usize = 63;
const LONGEST_AGENT: usize = 200;

impl InstanceId {
    pub fn new(id: &str) -> Result<Self, IllegalName> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        check(id, LONGEST_INSTANCE, '-', legal)?;
        Ok(Self(id.into()))
    }

    /// 32 hexadecimal digits that no other instance has.
    #[must_use]
    pub fn random() -> Self {
        Self(text::hex(&*random::bytes::<16>()).into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AgentName {
    pub fn new(name: &str) -> Result<Self, IllegalName> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        check(name, LONGEST_AGENT, '.', legal)?;
        Ok(Self(name.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(name: &str, limit: usize, bad_start: char, legal: fn(char) -> bool) -> Result<(), IllegalName> {
    let first = name.chars().next().ok_or(IllegalName::Empty)?;
    let length = name.chars().count();
    if length > limit {
        return Err(IllegalName::TooLong { length, limit });
    }
    if first == bad_start {
        return Err(IllegalName::BadStart(first));
    }
    match name.chars().enumerate().find(|(_, c)| !legal(*c)) {
        Some((position, character)) => Err(IllegalName::BadCharacter { character, position }),
        None => Ok(()),
    }
}

/// Its URI.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority(instance) => write!(f, "spiffe://{instance}"),
            Self::Server(instance) => write!(f, "spiffe://{instance}/server"),
            Self::Agent(AgentIdentity { instance, agent }) => write!(f, "spiffe://{instance}/agent/{agent}"),
        }
    }
}

/// From its URI, to the letter.
impl FromStr for Subject {
    type Err = IllegalSubject;

    fn from_str(uri: &str) -> Result<Self, IllegalSubject> {
        let rest = uri.strip_prefix("spiffe://").ok_or(IllegalSubject)?;
        let (instance, path) = rest.split_once('/').map_or((rest, None), |(first, path)| (first, Some(path)));
        let instance = InstanceId::new(instance).map_err(illegal)?;
        match path {
            None => Ok(Self::Authority(instance)),
            Some("server") => Ok(Self::Server(instance)),
            Some(path) => {
                let agent = path.strip_prefix("agent/").ok_or(IllegalSubject)?;
                let agent = AgentName::new(agent).map_err(illegal)?;
                Ok(Self::Agent(AgentIdentity { instance, agent }))
            }
        }
    }
}

fn illegal(_: IllegalName) -> IllegalSubject {
    IllegalSubject
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
        impl FromStr for $name {
            type Err = IllegalName;

            fn from_str(text: &str) -> Result<Self, IllegalName> {
                Self::new(text)
            }
        }
    )*};
}
text_form!(InstanceId, AgentName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        let check = |uri: &str, expected: Option<Subject>| {
            let identity = uri.parse().ok();
            assert_eq!(identity, expected, "{uri:?}");
            if let Some(identity) = identity {
                assert_eq!(identity.to_string(), uri);
            }
        };
        let instance = || InstanceId::new("eu-1").expect("is legal");
        let agent = |name| {
            let agent = AgentName::new(name).expect("is legal");
            Some(Subject::Agent(AgentIdentity { instance: instance(), agent }))
        };
        check("spiffe://eu-1", Some(Subject::Authority(instance())));
        check("spiffe://eu-1/server", Some(Subject::Server(instance())));
        check("spiffe://eu-1/agent/node-7", agent("node-7"));
        check("spiffe://eu-1/agent/Node_7.example", agent("Node_7.example"));
        check("spiffe://eu-1/agent/server", agent("server"));
        let nobody = [
            "",
            "eu-1",
            "spiffe://",
            "spiffe:///server",
            "spiffe://eu-1/",
            "spiffe://eu-1/server/",
            "spiffe://eu-1//server",
            "spiffe://eu-1/server/x",
            "spiffe://eu-1/Server",
            "spiffe://EU-1/server",
            "SPIFFE://eu-1/server",
            "https://eu-1/server",
            "spiffe://eu-1:443/server",
            "spiffe://a@eu-1/server",
            "spiffe://eu-1/server?x",
            "spiffe://eu-1/server#x",
            "spiffe://eu-1/agent",
            "spiffe://eu-1/agent/",
            "spiffe://eu-1/agent/a/b",
            "spiffe://eu-1/agent/..",
            "spiffe://eu-1/agent/a%62",
            "spiffe://eu-1/agent/a\0",
            "spiffe://eu-1/agent/ä",
            " spiffe://eu-1/server",
        ];
        nobody.iter().for_each(|uri| check(uri, None));
    }

    #[test]
    fn names_are_bounded() {
        let instance = |text: &str| InstanceId::new(text).map(|_| ());
        assert_eq!(instance(&"a".repeat(63)), Ok(()));
        assert_eq!(instance(&"a".repeat(64)), Err(IllegalName::TooLong { length: 64, limit: 63 }));
        assert_eq!(instance("-a"), Err(IllegalName::BadStart('-')));
        assert_eq!(instance(""), Err(IllegalName::Empty));
        let agent = |text: &str| AgentName::new(text).map(|_| ());
        assert_eq!(agent(&"a".repeat(200)), Ok(()));
        assert_eq!(agent(&"a".repeat(201)), Err(IllegalName::TooLong { length: 201, limit: 200 }));
        assert_eq!(agent("a/b"), Err(IllegalName::BadCharacter { character: '/', position: 1 }));
    }

    #[test]
    fn instances_are_told_apart() {
        let random = InstanceId::random();
        assert_ne!(random, InstanceId::random());
        assert_eq!(random.as_str().len(), 32);
        assert_eq!(random.as_str().parse(), Ok(random));
    }
}
