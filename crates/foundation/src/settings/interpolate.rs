use std::fs;

use serde_json::Value;

use super::env::Environment;
use super::problem::{Problem, Problems};
use super::tree::{Content, Tree, join};

/// Replaces `${VAR}`, `${VAR:-default}` and `${file:/path}` in every text of the tree; `$${` stands for `${`.
///
/// It happens after parsing, so that a value never changes the structure. The default is taken if the variable is
/// absent or empty. Of a file, one newline at its end is dropped.
pub(super) fn interpolate(tree: &mut Tree, environment: &Environment, problems: &mut Problems) {
    visit(tree, "", environment, problems);
}

fn visit(tree: &mut Tree, path: &str, environment: &Environment, problems: &mut Problems) {
    match &mut tree.content {
        Content::Scalar(Value::String(text)) if text.contains("${") => match expand(text, environment) {
            Ok(expanded) => tree.content = Content::Untyped(expanded),
            Err(message) => {
                problems.push(Problem::at(path, message).from(tree.origin.clone()));
                tree.content = Content::Scalar(Value::Null);
            }
        },
        Content::Scalar(_) | Content::Untyped(_) => {}
        Content::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                visit(item, &format!("{path}[{index}]"), environment, problems);
            }
        }
        Content::Map(entries) => {
            for entry in entries {
                visit(&mut entry.tree, &join(path, &entry.key), environment, problems);
            }
        }
    }
}

fn expand(text: &str, environment: &Environment) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if let Some(before) = rest[..start].strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        expanded.push_str(&rest[..start]);
        let inside = &rest[start + 2..];
        let end =
            inside.find('}').ok_or("`${` without `}` (write `$${` for the two characters themselves)")?;
        expanded.push_str(&resolve(&inside[..end], environment)?);
        rest = &inside[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn resolve(expression: &str, environment: &Environment) -> Result<String, String> {
    if let Some(path) = expression.strip_prefix("file:") {
        let text = fs::read_to_string(path).map_err(|error| format!("cannot read `{path}`: {error}"))?;
        return Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned());
    }
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (expression, None),
    };
    let value = environment.get(name);
    match default {
        Some(default) => Ok(value.filter(|value| !value.is_empty()).unwrap_or(default).to_owned()),
        None => value.map(str::to_owned).ok_or_else(|| format!("the variable `{name}` is not set")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let environment = Environment::from([("HOME", "/root"), ("EMPTY", "")]);
        let check = |text: &str, expected: Result<&str, &str>| {
            let outcome = expand(text, &environment);
            assert_eq!(outcome, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        };
        check("${HOME}/weir", Ok("/root/weir"));
        check("a${HOME}b${HOME}", Ok("a/rootb/root"));
        check("${ABSENT:-x}${EMPTY:-y}${HOME:-z}", Ok("xy/root"));
        check("${ABSENT:-}", Ok(""));
        check("${EMPTY}", Ok(""));
        check("costs $5, $HOME", Ok("costs $5, $HOME"));
        check("$${HOME}", Ok("${HOME}"));
        check("${ABSENT}", Err("the variable `ABSENT` is not set"));
        check("${HOME", Err("`${` without `}` (write `$${` for the two characters themselves)"));
        check("${}", Err("the variable `` is not set"));
    }

    #[test]
    fn files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("secret");
        fs::write(&path, "s3cret\n\n").expect("is written");
        let text = format!("${{file:{}}}", path.display());
        assert_eq!(expand(&text, &Environment::default()), Ok("s3cret\n".to_owned()));
        let error = expand("${file:/no/such/file}", &Environment::default()).expect_err("is absent");
        assert!(error.starts_with("cannot read `/no/such/file`: "), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn text_without_expressions_stays(text in "[^$]*", noise in "([$]|[{]|[}]|:-|file:|A|é)*") {
            let environment = Environment::from([("A", "x")]);
            assert_eq!(expand(&text, &environment), Ok(text));
            drop(expand(&noise, &environment));
        }
    }
}
