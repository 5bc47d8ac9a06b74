use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::{Location, Spanned};

use super::origin::Origin;
use super::problem::Problem;
use super::tree::{Content, Entry, Tree};

/// Reads one YAML document; `file` is the name by which problems call it.
///
/// An empty document is an empty map. Only what is no YAML at all is a problem here.
pub(super) fn parse(text: &str, file: &Arc<str>) -> Result<Tree, Problem> {
    // With the booleans of YAML 1.1 the text `no` would be false.
    let options = serde_saphyr::options! { strict_booleans: true };
    let document: Result<Option<Spanned<Yaml>>, _> = serde_saphyr::from_str_with_options(text, options);
    match document {
        Ok(Some(document)) => Ok(locate(document, file)),
        Ok(None) => Ok(Tree::empty()),
        Err(error) => {
            let line = error.location().map_or(1, |location| location.line());
            Err(Problem::at("", describe(error.without_snippet()))
                .from(Origin::File { file: Arc::clone(file), line }))
        }
    }
}

/// The parser's own words, without the place, which is shown in front, and without advice to programmers.
fn describe(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } = error {
        return format!("the key `{key}` is given twice");
    }
    let message = error.to_string();
    let line = message.lines().next().unwrap_or_default();
    line.split_once(" at line ").map_or(line, |(before, _)| before).to_owned()
}

enum Yaml {
    Scalar(Value),
    List(Vec<Spanned<Yaml>>),
    Map(Vec<(Spanned<String>, Spanned<Yaml>)>),
}

fn locate(node: Spanned<Yaml>, file: &Arc<str>) -> Tree {
    let content = match node.value {
        Yaml::Scalar(value) => Content::Scalar(value),
        Yaml::List(items) => Content::List(items.into_iter().map(|item| locate(item, file)).collect()),
        Yaml::Map(pairs) => {
            let entries = pairs.into_iter().map(|(key, value)| Entry {
                origin: origin(key.referenced, file),
                key: key.value,
                tree: locate(value, file),
            });
            Content::Map(entries.collect())
        }
    };
    Tree { origin: origin(node.referenced, file), content }
}

fn origin(location: Location, file: &Arc<str>) -> Origin {
    Origin::File { file: Arc::clone(file), line: location.line() }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Yaml, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Yaml::Scalar(number.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Yaml, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Yaml::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Yaml, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Yaml::Map(pairs))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Tree, String> {
        parse(text, &Arc::from("weir.yaml")).map_err(|problem| problem.to_string())
    }

    fn line(tree: &Tree, path: &[&str]) -> String {
        tree.get(path).map_or_else(|| "absent".to_owned(), |tree| tree.origin.to_string())
    }

    #[test]
    fn keeps_types_and_lines() {
        let text = "a:\n  b: 30s\n  c: [1, -2, 2.5]\n\n  d: {e: true, f: '8'}\ng: ~\nh: no\n";
        let tree = read(text).expect("is YAML");
        let expected =
            json!({ "a": { "b": "30s", "c": [1, -2, 2.5], "d": { "e": true, "f": "8" } }, "h": "no" });
        assert_eq!(tree.to_value(), expected);
        assert_eq!(line(&tree, &["a", "b"]), "file weir.yaml:2");
        assert_eq!(line(&tree, &["a", "d", "f"]), "file weir.yaml:5");
        assert_eq!(line(&tree, &["g"]), "file weir.yaml:6");
    }

    #[test]
    fn empty_is_an_empty_map() {
        for text in ["", "# nothing\n", "---\n"] {
            assert_eq!(read(text).map(|tree| tree.to_value()), Ok(json!({})), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_yaml_is_named_with_its_line() {
        for text in ["a: 1\nb: [1, 2\n", "a: 1\na: 2\n", "a: 1\n\tb: 2\n", "a: .nan\n"] {
            let problem = read(text).expect_err(text);
            assert!(problem.starts_with("weir.yaml:"), "{problem}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([-:,&*!|>?'\"%@`{}#]|[\\[]|[\\]]|<<|\n|\t| |a|1|~)*") {
            drop(read(&text));
        }
    }
}
