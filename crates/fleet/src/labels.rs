//! What agents are marked with, and how some of them are chosen by it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use weir_auth::AgentName;
use weir_model::AppName;

/// Marks of an agent, such as `zone=eu`.
///
/// At most 16. A key has one to 63 characters of `a-z 0-9 . _ / -` and begins with a letter; a value has one to 200 of
/// `a-z A-Z 0-9 . _ / : @ + -`. `agent` and `app` are no keys: every agent has them by itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Labels(BTreeMap<String, String>);

/// The agents that have all of these labels. `agent=<name>` and `app=<name>` may be among them. None at all
/// are those of every agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Selector(BTreeMap<String, String>);

/// A text or labels that are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalLabels {
    #[error("there are {0} labels, {MOST} are the most")]
    TooMany(usize),
    #[error("`{key}` can not be the key of a label", key = .0.escape_debug())]
    Key(String),
    #[error("every agent has the label `{0}` by itself")]
    Reserved(String),
    #[error("the value of label `{0}` has other characters than it may, or too many")]
    Value(String),
    #[error("label `{0}` is there twice")]
    Twice(String),
    #[error("labels have the form `key=value,key=value`")]
    Form,
}

/// Whom a selector is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marked<'a> {
    pub(crate) agent: &'a AgentName,
    pub(crate) apps: &'a [AppName],
    pub(crate) labels: &'a Labels,
}

const MOST: usize = 16;
const AGENT: &str = "agent";
const APP: &str = "app";

impl Labels {
    pub fn new(labels: impl IntoIterator<Item = (String, String)>) -> Result<Self, IllegalLabels> {
        let labels = checked(labels)?;
        match [AGENT, APP].into_iter().find(|key| labels.contains_key(*key)) {
            Some(reserved) => Err(IllegalLabels::Reserved(reserved.to_owned())),
            None => Ok(Self(labels)),
        }
    }

    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// In the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl Selector {
    pub fn new(labels: impl IntoIterator<Item = (String, String)>) -> Result<Self, IllegalLabels> {
        checked(labels).map(Self)
    }

    /// Those of every agent.
    #[must_use]
    pub fn everybody() -> Self {
        Self::default()
    }

    /// In the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// How exactly it says whom it is about: whether it names the agent, then how many labels it has.
    #[must_use]
    pub fn width(&self) -> (bool, usize) {
        (self.0.contains_key(AGENT), self.0.len())
    }

    pub(crate) fn fits(&self, agent: Marked<'_>) -> bool {
        self.0.iter().all(|(key, value)| match key.as_str() {
            AGENT => agent.agent.as_str() == value,
            APP => agent.apps.iter().any(|app| app.as_str() == value),
            key => agent.labels.get(key) == Some(value),
        })
    }
}

fn checked(
    labels: impl IntoIterator<Item = (String, String)>,
) -> Result<BTreeMap<String, String>, IllegalLabels> {
    let mut checked = BTreeMap::new();
    for (key, value) in labels {
        let sign = |c: char| matches!(c, '.' | '_' | '/' | '-');
        let in_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || sign(c);
        let in_value = |c: char| c.is_ascii_alphanumeric() || sign(c) || matches!(c, ':' | '@' | '+');
        if key.len() > 63 || !key.starts_with(|c: char| c.is_ascii_lowercase()) || !key.chars().all(in_key) {
            return Err(IllegalLabels::Key(key.chars().take(80).collect()));
        }
        if value.is_empty() || value.len() > 200 || !value.chars().all(in_value) {
            return Err(IllegalLabels::Value(key));
        }
        if checked.insert(key.clone(), value).is_some() {
            return Err(IllegalLabels::Twice(key));
        }
    }
    if checked.len() > MOST {
        return Err(IllegalLabels::TooMany(checked.len()));
    }
    Ok(checked)
}

fn split(text: &str) -> Result<Vec<(String, String)>, IllegalLabels> {
    let pair = |text: &str| {
        let (key, value) = text.split_once('=').ok_or(IllegalLabels::Form)?;
        Ok((key.to_owned(), value.to_owned()))
    };
    text.split(',').map(pair).collect()
}

/// `key=value,key=value`; nothing if there are none.
impl FromStr for Labels {
    type Err = IllegalLabels;

    fn from_str(text: &str) -> Result<Self, IllegalLabels> {
        if text.is_empty() { Ok(Self::default()) } else { Self::new(split(text)?) }
    }
}

/// `key=value,key=value`, or `*` for every agent.
impl FromStr for Selector {
    type Err = IllegalLabels;

    fn from_str(text: &str) -> Result<Self, IllegalLabels> {
        if text == "*" { Ok(Self::everybody()) } else { Self::new(split(text)?) }
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_all(&self.0, f)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("*") } else { write_all(&self.0, f) }
    }
}

fn write_all(labels: &BTreeMap<String, String>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, (key, value)) in labels.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(f, "{comma}{key}={value}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_one_spelling() {
        let check = |text: &str, expected: Result<&str, IllegalLabels>| {
            let labels = text.parse::<Labels>().map(|labels| labels.to_string());
            assert_eq!(labels, expected.map(str::to_owned), "{text}");
        };
        check("", Ok(""));
        check("zone=eu", Ok("zone=eu"));
        check("zone=eu,rack=7", Ok("rack=7,zone=eu"));
        check("k8s.io/pod-name=Shop_1:a@b+c", Ok("k8s.io/pod-name=Shop_1:a@b+c"));
        check("zone", Err(IllegalLabels::Form));
        check("zone=eu,", Err(IllegalLabels::Form));
        check("*", Err(IllegalLabels::Form));
        check("zone=", Err(IllegalLabels::Value("zone".into())));
        check("zone=a=b", Err(IllegalLabels::Value("zone".into())));
        check("zone=a b", Err(IllegalLabels::Value("zone".into())));
        check("=eu", Err(IllegalLabels::Key(String::new())));
        check("Zone=eu", Err(IllegalLabels::Key("Zone".into())));
        check("7=eu", Err(IllegalLabels::Key("7".into())));
        check("a=1,b=2,a=3", Err(IllegalLabels::Twice("a".into())));
        check("app=shop", Err(IllegalLabels::Reserved("app".into())));
        check("agent=a", Err(IllegalLabels::Reserved("agent".into())));
        let many = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        assert!(many(16).parse::<Labels>().is_ok());
        assert_eq!(many(17).parse::<Labels>(), Err(IllegalLabels::TooMany(17)));
        let long =
            |key: usize, value: usize| format!("{}={}", "k".repeat(key), "v".repeat(value)).parse::<Labels>();
        assert!(long(63, 200).is_ok() && long(64, 200).is_err() && long(63, 201).is_err());
    }

    #[test]
    fn a_selector_wants_all_of_its_labels() {
        let agent = AgentName::new("node-7").expect("legal");
        let apps = [AppName::new("shop").expect("legal"), AppName::new("cafe").expect("legal")];
        let labels = "zone=eu,rack=7".parse().expect("legal");
        let marked = Marked { agent: &agent, apps: &apps, labels: &labels };
        let check = |selector: &str, fits: bool| {
            let parsed: Selector = selector.parse().expect("legal");
            assert_eq!(parsed.fits(marked), fits, "{selector}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "{selector}");
        };
        check("*", true);
        check("zone=eu", true);
        check("rack=7,zone=eu", true);
        check("zone=us", false);
        check("zone=eu,disk=ssd", false);
        check("agent=node-7", true);
        check("agent=node-8", false);
        check("app=cafe", true);
        check("app=shop,zone=eu", true);
        check("app=bank,zone=eu", false);
        assert_eq!("".parse::<Selector>(), Err(IllegalLabels::Form));
    }
}
