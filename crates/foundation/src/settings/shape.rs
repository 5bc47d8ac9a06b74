//! What the settings look like, taken from the JSON schema of the raw type.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// Marks [`super::Secret`] in the schema.
pub(super) const SECRET_FORMAT: &str = "weir-secret";
/// Marks [`super::DurationText`] in the schema.
pub(super) const DURATION_FORMAT: &str = "weir-duration";
/// Marks [`super::SizeText`] in the schema.
pub(super) const SIZE_FORMAT: &str = "weir-size";

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) doc: String,
    /// As the schema or, failing that, the doc comment says.
    pub(super) default: Option<String>,
    pub(super) format: Option<String>,
    /// The only texts that are taken, if there is such a list.
    pub(super) allowed: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Section(BTreeMap<String, Shape>),
    /// A map whose keys users choose.
    Table(Box<Shape>),
    List(Box<Shape>),
    Text,
    Integer,
    Number,
    Boolean,
    Any,
}

impl Shape {
    pub(super) fn of<T: JsonSchema>() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        Self::from_schema(settings.into_generator().into_root_schema_for::<T>().as_value())
    }

    fn from_schema(schema: &Value) -> Self {
        let doc = schema["description"].as_str().unwrap_or_default().replace('\n', " ");
        let inner = without_null(schema);
        let default = schema.get("default").filter(|value| !value.is_null()).map(show);
        let format = inner["format"].as_str().map(str::to_owned);
        let allowed = allowed(inner);
        Self {
            default: default.or_else(|| documented_default(&doc)),
            kind: kind(inner, &allowed),
            format,
            allowed,
            doc,
        }
    }

    /// Whether a value of this shape must not be shown.
    pub(super) fn holds_secret(&self) -> bool {
        match &self.kind {
            Kind::List(item) | Kind::Table(item) => item.holds_secret(),
            Kind::Section(fields) => fields.values().any(Self::holds_secret),
            Kind::Text | Kind::Integer | Kind::Number | Kind::Boolean | Kind::Any => {
                self.format.as_deref() == Some(SECRET_FORMAT)
            }
        }
    }

    /// The shape of the value at `path`; None if there is no such setting.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Self> {
        let Some((key, rest)) = path.split_first() else {
            return Some(self);
        };
        self.child(key)?.get(rest)
    }

    pub(super) fn child(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Section(fields) => fields.get(key),
            Kind::Table(values) => Some(values),
            Kind::List(_) | Kind::Text | Kind::Integer | Kind::Number | Kind::Boolean | Kind::Any => None,
        }
    }

    /// How the reference names the kind of value.
    pub(super) fn noun(&self) -> String {
        if !self.allowed.is_empty() {
            return self.allowed.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", ");
        }
        match (&self.kind, self.format.as_deref()) {
            (Kind::Text, Some(SECRET_FORMAT)) => "secret text".to_owned(),
            (Kind::Text, Some(DURATION_FORMAT)) => "duration".to_owned(),
            (Kind::Text, Some(SIZE_FORMAT)) => "size".to_owned(),
            (Kind::Text, _) => "text".to_owned(),
            (Kind::Integer, _) => "whole number".to_owned(),
            (Kind::Number, _) => "number".to_owned(),
            (Kind::Boolean, _) => "`true`, `false`".to_owned(),
            (Kind::List(item), _) => format!("list of {}", item.noun()),
            (Kind::Table(_), _) => "table by name".to_owned(),
            (Kind::Section(_), _) => "section".to_owned(),
            (Kind::Any, _) => "value".to_owned(),
        }
    }
}

/// An `Option` is either its type with `null` among the names of types, or a choice of its schema and null.
fn without_null(schema: &Value) -> &Value {
    let Some(choices) = schema["anyOf"].as_array() else {
        return schema;
    };
    let mut real = choices.iter().filter(|choice| choice["type"] != "null");
    match (real.next(), real.next()) {
        (Some(only), None) => without_null(only),
        _ => schema,
    }
}

fn kind(schema: &Value, allowed: &[String]) -> Kind {
    if !allowed.is_empty() {
        return Kind::Text;
    }
    match type_name(schema) {
        Some("object") => match (&schema["properties"], &schema["additionalProperties"]) {
            (Value::Object(fields), _) => {
                let fields = fields.iter().map(|(key, schema)| (key.clone(), Shape::from_schema(schema)));
                Kind::Section(fields.collect())
            }
            (_, values @ Value::Object(_)) => Kind::Table(Box::new(Shape::from_schema(values))),
            (_, Value::Bool(false)) => Kind::Section(BTreeMap::new()),
            _ => Kind::Any,
        },
        Some("array") => Kind::List(Box::new(Shape::from_schema(&schema["items"]))),
        Some("string") => Kind::Text,
        Some("integer") => Kind::Integer,
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Boolean,
        _ => Kind::Any,
    }
}

/// The one type of the schema beside null.
fn type_name(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::String(name) => Some(name),
        Value::Array(names) => {
            let mut names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            let first = names.next();
            first.filter(|_| names.next().is_none())
        }
        _ => None,
    }
}

/// The variants of an enum without data: a list if no variant has a doc comment, else a choice of constants.
fn allowed(schema: &Value) -> Vec<String> {
    let texts =
        |values: &[Value]| values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
    if let Some(values) = schema["enum"].as_array() {
        return texts(values);
    }
    let Some(choices) = schema["oneOf"].as_array() else {
        return Vec::new();
    };
    let groups: Vec<Vec<String>> = choices
        .iter()
        .map(|choice| match (&choice["const"], choice["enum"].as_array()) {
            (Value::String(text), _) => vec![text.clone()],
            (_, Some(values)) => texts(values),
            _ => Vec::new(),
        })
        .collect();
    // A choice with data is no constant, and then the whole is no list of texts.
    if groups.iter().any(Vec::is_empty) { Vec::new() } else { groups.concat() }
}

fn documented_default(doc: &str) -> Option<String> {
    let (_, after) = doc.split_once("Default: `")?;
    after.split_once('`').map(|(default, _)| default.to_owned())
}

/// A value as it would stand in the file, on one line.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::*;
    use crate::settings::{DurationText, Secret};

    /// How strict.
    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Plain {
        Lax,
        Strict,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Documented {
        /// First.
        One,
        Two,
        Three,
    }

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        /// How long. Default: `5s`.
        wait: Option<DurationText>,
        password: Option<Secret>,
    }

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Outer {
        /// The part
        /// in it.
        inner: Inner,
        optional: Option<Inner>,
        plain: Option<Plain>,
        documented: Option<Documented>,
        port: Option<u16>,
        ratio: Option<f64>,
        on: Option<bool>,
        names: Option<Vec<String>>,
        apps: Option<BTreeMap<String, Inner>>,
    }

    #[test]
    fn kinds_are_those_of_the_type() {
        let shape = Shape::of::<Outer>();
        let check = |path: &[&str], expected: &str| {
            let noun = shape.get(path).map_or_else(|| "absent".to_owned(), Shape::noun);
            assert_eq!(noun, expected, "{path:?}");
        };
        check(&["inner"], "section");
        check(&["optional"], "section");
        check(&["optional", "wait"], "duration");
        check(&["inner", "password"], "secret text");
        check(&["plain"], "`lax`, `strict`");
        check(&["port"], "whole number");
        check(&["ratio"], "number");
        check(&["on"], "`true`, `false`");
        check(&["names"], "list of text");
        check(&["apps", "any name", "wait"], "duration");
        check(&["inner", "absent"], "absent");
        let documented = &shape.get(&["documented"]).expect("is there").allowed;
        assert_eq!(documented.iter().map(String::as_str).collect::<std::collections::BTreeSet<_>>().len(), 3);
    }

    #[test]
    fn docs_and_defaults_are_those_of_the_comments() {
        let shape = Shape::of::<Outer>();
        assert_eq!(shape.get(&["inner"]).map(|shape| &*shape.doc), Some("The part in it."));
        let wait = shape.get(&["inner", "wait"]).expect("is there");
        assert_eq!(wait.default.as_deref(), Some("5s"));
    }
}
