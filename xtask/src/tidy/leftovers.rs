//! Work that somebody meant to come back to, and tests that do not run.

use std::path::Path;

use super::{Finding, Tree};

/// Whole words that mark unfinished work. Written in two parts so that this file passes its own check.
const MARKERS: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

/// Rust that compiles but does not do or test what it seems to.
const HOLLOW: &[(&str, &str)] = &[
    (concat!("#[", "ignore"), "a test that does not run proves nothing"),
    (concat!("to", "do!("), "unfinished code stays out of the tree"),
    (concat!("unimple", "mented!("), "unfinished code stays out of the tree"),
];

const EXTENSIONS: &[&str] = &["rs", "toml", "proto", "sh", "yaml", "yml"];

pub(crate) fn check(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for extension in EXTENSIONS {
        for path in tree.with_extension(extension) {
            findings.extend(leftovers(path, &tree.read(path)?));
        }
    }
    Ok(findings)
}

fn leftovers(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for marker in MARKERS.iter().filter(|marker| has_word(line, marker)) {
            let message = format!("`{marker}`: do it, or say it in an issue");
            findings.push(Finding::of_file("leftover", path, message).at(index + 1));
        }
        for (needle, why) in HOLLOW.iter().filter(|(needle, _)| line.contains(needle)) {
            findings.push(Finding::of_file("leftover", path, format!("`{needle}`: {why}")).at(index + 1));
        }
    }
    findings
}

pub(crate) fn has_word(text: &str, word: &str) -> bool {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|part| part == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::assert_findings;

    #[test]
    fn markers_count_as_whole_words() {
        let marker = MARKERS[0];
        assert_findings(
            check,
            &[("src/a.rs", &format!("// {marker}: later\nconst {marker}S: u8 = 1;\n")), ("a.toml", "# fine")],
            &[&format!("src/a.rs:1: `{marker}`: do it, or say it in an issue [leftover]")],
        );
    }

    #[test]
    fn hollow_code_is_found() {
        for (needle, why) in HOLLOW {
            assert_findings(
                check,
                &[("src/a.rs", &format!("fn a() {{\n    {needle}\n}}"))],
                &[&format!("src/a.rs:2: `{needle}`: {why} [leftover]")],
            );
        }
    }
}
