//! Rules as they are written: JSON, the form of barito-flow.
//!
//! ```json
//! {
//!   "default": {
//!     "StaticRules": [{"Name": "EMAIL", "Regex": "[a-z.]+@[a-z.]+", "HintCharsStart": 2, "HintCharsEnd": 4}]
//!   },
//!   "My Shop": {
//!     "JsonPathRules": [{"Name": "PHONE", "Path": "\\.customer\\.phone$"}]
//!   }
//! }
//! ```
//!
//! Names of apps are index prefixes, or names of applications, whose index prefix is the name in lower case with
//! hyphens for spaces. What is wrong with one rule is told with its name and harms no other.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The rules of every app, in the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    pub apps: BTreeMap<String, AppDocument>,
    /// What was left out.
    pub refused: Vec<RefusedRule>,
}

/// The rules of one app, in the order in which they are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppDocument {
    /// On the strings at a path.
    pub paths: Vec<RuleDocument>,
    /// On the whole text.
    pub texts: Vec<RuleDocument>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleDocument {
    pub name: String,
    /// An expression of Go: on the text, or on the path.
    pub pattern: String,
    pub hint_start: usize,
    pub hint_end: usize,
}

/// Which of the two lists a rule is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleKind {
    Path,
    Text,
}

/// A rule that is not applied, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRule {
    pub app: String,
    /// The kind and the name of the rule, or its number from 1 if it has none; absent if it is all of the app.
    pub rule: Option<(RuleKind, String)>,
    pub reason: String,
}

/// What to do with a field that no rule has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownFields {
    /// It may be a hint or an expression that was misspelt: the rule is refused.
    Refuse,
    /// As barito-flow does.
    Ignore,
}

/// The text is no map of apps; nothing of it can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the rules are no JSON object with an object for each app: {0}")]
pub struct NoRules(String);

/// The key of the rules for apps that have none.
pub(crate) const DEFAULT: &str = "default";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawApp<'a> {
    #[serde(borrow, default)]
    static_rules: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    json_path_rules: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawRule {
    name: Option<String>,
    regex: Option<String>,
    path: Option<String>,
    hint_chars_start: Option<i64>,
    hint_chars_end: Option<i64>,
}

const APP_FIELDS: [&str; 2] = ["StaticRules", "JsonPathRules"];

impl Document {
    /// Reads the text.
    ///
    /// # Errors
    ///
    /// It is no JSON, or no object. Wrong rules are no error but in [`Document::refused`].
    pub fn read(json: &str, unknown: UnknownFields) -> Result<Self, NoRules> {
        let Members(apps) = serde_json::from_str(json).map_err(|error| NoRules(error.to_string()))?;
        let mut document = Self::default();
        for (app, value) in apps {
            let mut reading = Reading { app: &app, unknown, refused: &mut document.refused };
            if let Some(rules) = reading.app(value) {
                document.apps.insert(app, rules);
            }
        }
        Ok(document)
    }
}

struct Reading<'a> {
    app: &'a str,
    unknown: UnknownFields,
    refused: &'a mut Vec<RefusedRule>,
}

impl Reading<'_> {
    fn app(&mut self, value: &RawValue) -> Option<AppDocument> {
        let raw: RawApp<'_> = match object(value) {
            Ok(raw) => raw,
            Err(error) => {
                self.refuse(None, error);
                return None;
            }
        };
        if let Some(field) = self.unknown_field(value, &APP_FIELDS) {
            self.refuse(None, format!("has an unknown field `{field}`, which is ignored"));
        }
        let paths = self.rules(RuleKind::Path, raw.json_path_rules.unwrap_or_default());
        let texts = self.rules(RuleKind::Text, raw.static_rules.unwrap_or_default());
        Some(AppDocument { paths, texts })
    }

    fn rules(&mut self, kind: RuleKind, values: Vec<&RawValue>) -> Vec<RuleDocument> {
        (1..).zip(values).filter_map(|(number, value)| self.rule(kind, number, value)).collect()
    }

    fn rule(&mut self, kind: RuleKind, number: usize, value: &RawValue) -> Option<RuleDocument> {
        let raw: RawRule = match object(value) {
            Ok(raw) => raw,
            Err(error) => {
                self.refuse(Some((kind, format!("#{number}"))), error);
                return None;
            }
        };
        let name = raw.name.clone().unwrap_or_else(|| format!("#{number}"));
        match self.checked(kind, raw, value) {
            Ok(rule) => Some(rule),
            Err(reason) => {
                self.refuse(Some((kind, name)), reason);
                None
            }
        }
    }

    fn checked(&self, kind: RuleKind, raw: RawRule, value: &RawValue) -> Result<RuleDocument, String> {
        let (field, pattern) = match kind {
            RuleKind::Path => ("Path", raw.path),
            RuleKind::Text => ("Regex", raw.regex),
        };
        let known = ["Name", field, "HintCharsStart", "HintCharsEnd"];
        if let Some(unknown) = self.unknown_field(value, &known) {
            return Err(format!("has an unknown field `{unknown}`"));
        }
        let hint = |name: &str, count: Option<i64>| {
            usize::try_from(count.unwrap_or_default()).map_err(|_negative| format!("`{name}` is negative"))
        };
        Ok(RuleDocument {
            name: raw.name.ok_or("has no `Name`")?,
            // An empty expression matches everywhere, also between the letters of what was redacted before.
            pattern: pattern.filter(|pattern| !pattern.is_empty()).ok_or(format!("has no `{field}`"))?,
            hint_start: hint("HintCharsStart", raw.hint_chars_start)?,
            hint_end: hint("HintCharsEnd", raw.hint_chars_end)?,
        })
    }

    fn unknown_field(&self, value: &RawValue, known: &[&str]) -> Option<String> {
        if self.unknown == UnknownFields::Ignore {
            return None;
        }
        let Members(members) = serde_json::from_str(value.get()).ok()?;
        members.into_keys().find(|name| !known.contains(&name.as_str()))
    }

    fn refuse(&mut self, rule: Option<(RuleKind, String)>, reason: String) {
        self.refused.push(RefusedRule { app: self.app.to_owned(), rule, reason });
    }
}

/// A struct would also be read from an array.
fn object<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Result<T, String> {
    if !value.get().starts_with('{') {
        return Err("is no JSON object".to_owned());
    }
    serde_json::from_str(value.get()).map_err(|error| error.to_string())
}

/// The members of an object; of a key that occurs twice the last, as Go takes it.
struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if members.len() == MOST_APPS {
                        return Err(A::Error::custom(format!("more than {MOST_APPS} members")));
                    }
                    members.insert(name, value);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// No cluster has as many; each costs memory for its compiled expressions.
const MOST_APPS: usize = 10_000;

impl fmt::Display for RuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "JsonPathRules",
            Self::Text => "StaticRules",
        })
    }
}

/// `My Shop: StaticRules EMAIL: has no `Regex``
impl fmt::Display for RefusedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some((kind, name)) => write!(f, "{}: {kind} {name}: {}", self.app, self.reason),
            None => write!(f, "{}: {}", self.app, self.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, pattern: &str, hint_start: usize, hint_end: usize) -> RuleDocument {
        RuleDocument { name: name.to_owned(), pattern: pattern.to_owned(), hint_start, hint_end }
    }

    fn refused(document: &Document) -> Vec<String> {
        document.refused.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn both_kinds_are_read_in_order() {
        let json = r#"{
            "shop": {"StaticRules": [{"Name": "A", "Regex": "a+", "HintCharsStart": 2, "HintCharsEnd": 3},
                                     {"Name": "B", "Regex": "b"}],
                     "JsonPathRules": [{"Name": "C", "Path": "\\.c$", "HintCharsStart": 0, "HintCharsEnd": 1}]},
            "default": {"StaticRules": null},
            "empty": {}
        }"#;
        let document = Document::read(json, UnknownFields::Refuse).expect("is a map");
        let shop = AppDocument {
            paths: vec![rule("C", "\\.c$", 0, 1)],
            texts: vec![rule("A", "a+", 2, 3), rule("B", "b", 0, 0)],
        };
        let apps = [("shop", shop), (DEFAULT, AppDocument::default()), ("empty", AppDocument::default())];
        assert_eq!(document.apps, apps.map(|(name, app)| (name.to_owned(), app)).into());
        assert_eq!(document.refused, []);
    }

    #[test]
    fn a_wrong_rule_harms_no_other() {
        let json = r#"{
            "one": {"StaticRules": [{"Name": "TYPO", "Regexp": "a"}, {"Name": "GOOD", "Regex": "a"},
                                    {"Regex": "a"}, {"Name": "EMPTY", "Regex": ""}, 7,
                                    {"Name": "NEGATIVE", "Regex": "a", "HintCharsStart": -1},
                                    {"Name": "FRACTION", "Regex": "a", "HintCharsEnd": 1.5}],
                    "JsonPathRules": [{"Name": "PATH", "Regex": "a"}]},
            "two": [],
            "three": {"StaticRules": [{"Name": "GOOD", "Regex": "b"}], "Rules": []}
        }"#;
        let document = Document::read(json, UnknownFields::Refuse).expect("is a map");
        assert_eq!(
            refused(&document),
            [
                "one: JsonPathRules PATH: has an unknown field `Regex`",
                "one: StaticRules TYPO: has an unknown field `Regexp`",
                "one: StaticRules #3: has no `Name`",
                "one: StaticRules EMPTY: has no `Regex`",
                "one: StaticRules #5: is no JSON object",
                "one: StaticRules NEGATIVE: `HintCharsStart` is negative",
                "one: StaticRules #7: invalid type: floating point `1.5`, expected i64 at line 1 column 54",
                "three: has an unknown field `Rules`, which is ignored",
                "two: is no JSON object",
            ]
        );
        let good: Vec<_> =
            document.apps.iter().map(|(app, rules)| (app.as_str(), rules.texts.len())).collect();
        assert_eq!(good, [("one", 1), ("three", 1)]);
    }

    #[test]
    fn barito_ignores_what_it_does_not_know() {
        let json = r#"{"a": {"Id": 5, "StaticRules": [{"Name": "A", "Regex": "a", "Id": 7}]}}"#;
        let document = Document::read(json, UnknownFields::Ignore).expect("is a map");
        assert_eq!((document.apps["a"].texts.len(), document.refused.len()), (1, 0));
    }

    #[test]
    fn what_is_no_map_is_refused_whole() {
        for json in ["", "[]", "7", r#"{"a": "#, "null", r#"{"success":false,"errors":[],"code":401} x"#] {
            let error = Document::read(json, UnknownFields::Ignore).expect_err(json);
            assert!(error.to_string().starts_with("the rules are no JSON object"), "{error}");
        }
    }
}
