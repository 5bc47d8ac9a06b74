use std::fs;
use std::path::Path;
use std::slice;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::env::{Alias, Environment};
use super::explain::{Explained, explain};
use super::interpolate::interpolate;
use super::layers::{self, FlagValue};
use super::origin::Origin;
use super::presets::{self, Implied, Preset};
use super::problem::{Problem, Problems};
use super::shape::{Kind, Shape, show};
use super::tree::{Content, Tree, keys};
use super::{unknown, yaml};

/// Where settings come from, weakest first: presets, what is implied, file, aliases, variables, flags.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    pub presets: &'a [Preset],
    pub implied: &'a [Implied],
    pub file: Option<&'a Path>,
    pub environment: &'a Environment,
    pub aliases: &'a [Alias],
    pub wrong_aliases: WrongAliases,
    pub flags: &'a [FlagValue],
}

/// What the wrong value of an alias is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WrongAliases {
    /// A problem, as any wrong value.
    #[default]
    Refused,
    /// As if it was not set, with a notice: what the older system did, silently.
    Ignored,
}

/// All layers as one raw value, with everything that was wrong so far.
///
/// What is wrong was left out, so that the rest can be validated and all problems be shown at once:
/// nothing may be started before [`Loaded::finish`] has said that there are none.
#[derive(Debug)]
#[must_use = "it may hold problems"]
pub struct Loaded<Raw> {
    pub raw: Raw,
    tree: Tree,
    shape: Shape,
    problems: Problems,
    notices: Problems,
}

/// Reads all layers. `Raw` refuses unknown fields and has a default for every field.
pub fn load<Raw: DeserializeOwned + JsonSchema + Default>(sources: Sources<'_>) -> Loaded<Raw> {
    let shape = Shape::of::<Raw>();
    let mut problems = Problems::default();
    let mut tree = sources.file.map_or_else(Tree::empty, |file| {
        read(file).unwrap_or_else(|problem| {
            problems.push(problem);
            Tree::empty()
        })
    });
    interpolate(&mut tree, sources.environment, &mut problems);
    unknown::prune(&mut tree, &shape, &mut problems);
    layers::apply_aliases(&mut tree, &shape, sources.aliases, sources.environment, &mut problems);
    layers::apply_environment(&mut tree, &shape, sources.environment, &mut problems);
    layers::apply_flags(&mut tree, &shape, sources.flags, &mut problems);
    layers::give_types(&mut tree, &shape, "", &mut problems);
    // First takes out what is wrong: its place is as empty as if it had never been given.
    let mut raw = deserialize(&mut tree, &shape, &mut problems);
    if presets::fill(&mut tree, &shape, sources.implied, sources.presets) {
        layers::give_types(&mut tree, &shape, "", &mut problems);
        raw = deserialize(&mut tree, &shape, &mut problems);
    }
    let (notices, problems) = match sources.wrong_aliases {
        WrongAliases::Refused => (Problems::default(), problems),
        WrongAliases::Ignored => problems.partition(|problem| is_of_alias(problem, sources.aliases)),
    };
    Loaded { raw, tree, shape, problems, notices }
}

/// Reads settings that others have written: a text alone, called `name`. Nothing of this machine comes into them:
/// neither its environment nor its files are interpolated.
pub fn load_text<Raw: DeserializeOwned + JsonSchema + Default>(name: &str, text: &str) -> Loaded<Raw> {
    let shape = Shape::of::<Raw>();
    let mut problems = Problems::default();
    let mut tree = parse(text, &name.into()).unwrap_or_else(|problem| {
        problems.push(problem);
        Tree::empty()
    });
    unknown::prune(&mut tree, &shape, &mut problems);
    layers::give_types(&mut tree, &shape, "", &mut problems);
    let raw = deserialize(&mut tree, &shape, &mut problems);
    Loaded { raw, tree, shape, problems, notices: Problems::default() }
}

fn is_of_alias(problem: &Problem, aliases: &[Alias]) -> bool {
    let Some(Origin::Environment { variable }) = &problem.origin else { return false };
    aliases.iter().any(|alias| alias.name == variable)
}

impl<Raw> Loaded<Raw> {
    /// Validates the section at `path`: problems get its path and the origins of their values.
    pub fn section<T>(
        &mut self,
        path: &str,
        validate: impl FnOnce(&Raw) -> Result<T, Problems>,
    ) -> Option<T> {
        let outcome = validate(&self.raw);
        let tree = &self.tree;
        let located =
            outcome.map_err(|problems| problems.under(path).located(|path| tree.nearest_origin(&keys(path))));
        self.problems.take("", located)
    }

    /// Where the value at `path` came from.
    #[must_use]
    pub fn origin(&self, path: &str) -> Origin {
        self.tree.get(&keys(path)).map_or(Origin::Default, |tree| tree.origin.clone())
    }

    /// Every setting with its value and origin; secrets are masked.
    #[must_use]
    pub fn explain(&self) -> Vec<Explained> {
        explain(&self.tree, &self.shape)
    }

    /// What was wrong with aliases and ignored: [`WrongAliases::Ignored`].
    #[must_use]
    pub fn notices(&self) -> &Problems {
        &self.notices
    }

    /// The raw settings, if nothing was wrong with any layer or section.
    pub fn finish(self) -> Result<Raw, Problems> {
        self.problems.in_order().or(self.raw)
    }
}

/// `Raw` as its doc comments say it is by default, to hold against what validation makes of an empty section.
///
/// # Panics
///
/// If a documented default is not a value of its field: for tests.
#[must_use]
pub fn documented_defaults<Raw: DeserializeOwned + JsonSchema + Default>() -> Raw {
    let shape = Shape::of::<Raw>();
    let mut tree = Tree::empty();
    layers::for_each_value(&shape, "", &mut |path, shape| {
        if let Some(default) = &shape.default {
            let content = Content::Untyped(default.clone());
            tree.set(&keys(path), Tree { origin: Origin::Default, content });
        }
    });
    let mut problems = Problems::default();
    layers::give_types(&mut tree, &shape, "", &mut problems);
    let raw = deserialize(&mut tree, &shape, &mut problems);
    problems.or(raw).expect("a documented default is a value of its field")
}

fn read(file: &Path) -> Result<Tree, Problem> {
    let name: Arc<str> = file.display().to_string().into();
    let text = fs::read_to_string(file)
        .map_err(|error| Problem::at("", format!("cannot read `{name}`: {error}")))?;
    parse(&text, &name)
}

fn parse(text: &str, name: &Arc<str>) -> Result<Tree, Problem> {
    let tree = yaml::parse(text, name)?;
    match tree.content {
        Content::Map(_) => Ok(tree),
        Content::Scalar(_) | Content::Untyped(_) | Content::List(_) => {
            Err(Problem::at("", "expected settings in the form `key: value`").from(tree.origin))
        }
    }
}

/// Reports every value that is not of its type and takes it out of the tree.
fn deserialize<Raw: DeserializeOwned + Default>(
    tree: &mut Tree,
    shape: &Shape,
    problems: &mut Problems,
) -> Raw {
    if let Ok(raw) = Raw::deserialize(tree.to_value()) {
        return raw;
    }
    // serde stops at the first error. Since every field is optional, each value can be tried alone.
    let mut values = Vec::new();
    collect_values(tree, shape, &[], &mut values);
    for (path, shape) in values {
        let Some(value) = tree.get(&path.iter().map(String::as_str).collect::<Vec<_>>()) else { continue };
        let alone = path.iter().rev().fold(value.to_value(), |value, key| {
            if key.starts_with('[') && key.ends_with(']') {
                return Value::Array(vec![value]);
            }
            Value::Object([(key.clone(), value)].into_iter().collect())
        });
        if let Err(error) = Raw::deserialize(alone) {
            let message = match error.to_string().as_str() {
                _ if shape.holds_secret() => "is not a text".to_owned(),
                NO_ADDRESS => format!(
                    "`{}` is not an address, expected an IP address with its port, such as `127.0.0.1:8080`",
                    show(&value.to_value())
                ),
                message => plain_words(message),
            };
            problems.push(Problem::at(text(&path), message).from(value.origin.clone()));
            tree.remove(&path.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
    Raw::deserialize(tree.to_value()).unwrap_or_else(|error| {
        problems.push(Problem::at("", plain_words(&error.to_string())));
        Raw::default()
    })
}

/// A path as people write it, `a.b[2]`.
fn text(path: &[String]) -> String {
    path.join(".").replace(".[", "[")
}

/// The values that can be tried alone, each with its path, in which the second of a list is `[1]`. Keys of tables may
/// contain dots.
fn collect_values<'a>(
    tree: &Tree,
    shape: &'a Shape,
    path: &[String],
    found: &mut Vec<(Vec<String>, &'a Shape)>,
) {
    match (&tree.content, &shape.kind) {
        (Content::Map(entries), Kind::Section(_) | Kind::Table(_)) => {
            for entry in entries {
                if let Some(child) = shape.child(&entry.key) {
                    collect_values(&entry.tree, child, &[path, slice::from_ref(&entry.key)].concat(), found);
                }
            }
        }
        (Content::List(items), Kind::List(item)) if matches!(item.kind, Kind::Section(_)) => {
            for (index, tree) in items.iter().enumerate() {
                collect_values(tree, item, &[path, &[format!("[{index}]")]].concat(), found);
            }
        }
        _ => found.push((path.to_vec(), shape)),
    }
}

/// What the standard library says of every text that is no socket address.
const NO_ADDRESS: &str = "invalid socket address syntax";

/// serde names Rust's types; people know numbers.
fn plain_words(message: &str) -> String {
    let types = [
        ("u8", "a whole number from 0 to 255"),
        ("u16", "a whole number from 0 to 65535"),
        ("u32", "a whole number from 0 to 4294967295"),
        ("u64", "a whole number from 0"),
        ("usize", "a whole number from 0"),
        ("i32", "a whole number"),
        ("i64", "a whole number"),
        ("f64", "a number"),
        ("a boolean", "`true` or `false`"),
        ("a string", "a text"),
        ("a sequence", "a list"),
        ("path string", "a text"),
    ];
    let found = types.iter().find_map(|(name, words)| {
        let before = message.strip_suffix(name)?.strip_suffix("expected ")?;
        Some(format!("{before}expected {words}"))
    });
    let message = found.unwrap_or_else(|| message.to_owned());
    let message = message.replace("type: sequence", "type: list").replace("type: map", "type: section");
    match message.split_once("expected struct ") {
        Some((before, _)) => format!("{before}expected a section"),
        None => message,
    }
}

#[cfg(test)]
mod tests;
