//! The layers above the file: variables and flags, and how their texts get a type.

use serde_json::{Number, Value};

use super::env::{Alias, Environment, PREFIX, setting_variable};
use super::origin::Origin;
use super::problem::{Problem, Problems};
use super::shape::{Kind, Shape};
use super::tree::{Content, Tree, join, keys};
use super::unknown::{similar, suggested};

/// A setting given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagValue {
    /// The setting, such as `data_dir`. It must exist.
    pub path: &'static str,
    /// In the form it would have in the file; lists are separated by commas.
    pub value: String,
    /// For messages, such as `--data-dir`.
    pub flag: &'static str,
}

pub(super) fn apply_aliases(
    tree: &mut Tree,
    shape: &Shape,
    aliases: &[Alias],
    environment: &Environment,
    problems: &mut Problems,
) {
    for alias in aliases {
        let Some(text) = environment.get(alias.name) else {
            continue;
        };
        let origin = Origin::Environment { variable: alias.name.to_owned() };
        match (alias.convert)(text) {
            Ok(Some(_)) if shape.get(&keys(alias.path)).is_none() => {
                problems.push(Problem::at(alias.path, "unknown setting").from(origin));
            }
            Ok(Some(value)) => tree.set(&keys(alias.path), Tree { origin, content: Content::Untyped(value) }),
            Ok(None) => {}
            Err(message) => problems.push(Problem::at(alias.path, message).from(origin)),
        }
    }
}

pub(super) fn apply_environment(
    tree: &mut Tree,
    shape: &Shape,
    environment: &Environment,
    problems: &mut Problems,
) {
    for (variable, value) in environment.settings() {
        let path = variable[PREFIX.len()..].to_lowercase();
        let path: Vec<&str> = path.split("__").collect();
        let origin = Origin::Environment { variable: variable.to_owned() };
        match (shape.get(&path).map(|shape| &shape.kind), value) {
            (None, _) if is_service_link(variable) => {}
            (None, _) => {
                let problem = Problem::at("", "unknown setting").from(origin);
                problems.push(suggested(problem, similar_variable(variable, shape)));
            }
            (Some(Kind::Section(_) | Kind::Table(_)), _) => {
                let message = "is a section, only the values in it can be set by a variable";
                problems.push(Problem::at(path.join("."), message).from(origin));
            }
            (Some(_), None) => problems.push(Problem::at(path.join("."), "is not UTF-8").from(origin)),
            (Some(_), Some(value)) => {
                tree.set(&path, Tree { origin, content: Content::Untyped(value.to_owned()) });
            }
        }
    }
}

/// Kubernetes sets such variables in every container beside a service named `weir`.
fn is_service_link(variable: &str) -> bool {
    let parts = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"];
    !variable.contains("__")
        && parts.iter().any(|part| variable.ends_with(part) || variable.contains(&format!("{part}_")))
}

fn similar_variable(variable: &str, shape: &Shape) -> Option<String> {
    let mut variables = Vec::new();
    for_each_value(shape, "", &mut |path, _| variables.push(setting_variable(path)));
    similar(variable, variables.iter().map(String::as_str))
}

/// Visits every setting that is not a section, with its path. Of a table, the table itself.
pub(super) fn for_each_value<'a>(shape: &'a Shape, path: &str, visit: &mut impl FnMut(&str, &'a Shape)) {
    match &shape.kind {
        Kind::Section(fields) => {
            for (key, child) in fields {
                for_each_value(child, &join(path, key), visit);
            }
        }
        _ => visit(path, shape),
    }
}

pub(super) fn apply_flags(tree: &mut Tree, shape: &Shape, flags: &[FlagValue], problems: &mut Problems) {
    for flag in flags {
        let origin = Origin::Flag { flag: flag.flag.to_owned() };
        if shape.get(&keys(flag.path)).is_none() {
            problems.push(Problem::at(flag.path, "unknown setting").from(origin));
            continue;
        }
        tree.set(&keys(flag.path), Tree { origin, content: Content::Untyped(flag.value.clone()) });
    }
}

/// Gives every untyped text the type that the shape asks for; what can not have it is reported and not set.
pub(super) fn give_types(tree: &mut Tree, shape: &Shape, path: &str, problems: &mut Problems) {
    match &mut tree.content {
        Content::Scalar(_) => {}
        Content::Untyped(text) => {
            tree.content = typed(text, shape, &tree.origin).unwrap_or_else(|message| {
                problems.push(Problem::at(path, message).from(tree.origin.clone()));
                Content::Scalar(Value::Null)
            });
        }
        Content::List(items) => {
            if let Kind::List(item) = &shape.kind {
                for (index, tree) in items.iter_mut().enumerate() {
                    give_types(tree, item, &format!("{path}[{index}]"), problems);
                }
            }
        }
        Content::Map(entries) => {
            for entry in entries {
                if let Some(child) = shape.child(&entry.key) {
                    give_types(&mut entry.tree, child, &join(path, &entry.key), problems);
                }
            }
        }
    }
}

fn typed(text: &str, shape: &Shape, origin: &Origin) -> Result<Content, String> {
    let value = match &shape.kind {
        Kind::Integer => whole_number(text).ok_or_else(|| format!("`{text}` is not a whole number"))?.into(),
        Kind::Number => {
            let number = text.parse().ok().and_then(Number::from_f64);
            number.ok_or_else(|| format!("`{text}` is not a number"))?.into()
        }
        Kind::Boolean => match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err(format!("`{text}` is neither `true` nor `false`")),
        },
        Kind::List(item) => {
            let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
            let items = texts.map(|text| typed(text, item, origin));
            let items = items.map(|content| content.map(|content| Tree { origin: origin.clone(), content }));
            return items.collect::<Result<_, _>>().map(Content::List);
        }
        Kind::Text | Kind::Any | Kind::Section(_) | Kind::Table(_) => Value::String(text.to_owned()),
    };
    Ok(Content::Scalar(value))
}

fn whole_number(text: &str) -> Option<Number> {
    let unsigned = text.parse::<u64>().ok().map(Number::from);
    unsigned.or_else(|| text.parse::<i64>().ok().map(Number::from))
}
