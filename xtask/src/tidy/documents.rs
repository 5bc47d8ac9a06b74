//! Links of the documents: files exist, headings are there, and code that a link names is in the file.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::leftovers::has_word;
use super::{Finding, Tree};

pub(crate) fn check(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in tree.with_extension("md") {
        let text = tree.read(path)?;
        for link in links(&text) {
            if let Some(message) = broken(tree, path, &link)? {
                findings.push(Finding::of_file("link", path, message).at(link.line));
            }
        }
    }
    Ok(findings)
}

#[derive(Debug)]
struct Link {
    line: usize,
    /// What the link is called, if that is a name in code: [`Journal`](…), [`seam::Journal`](…).
    name: Option<String>,
    target: String,
}

/// The targets of `[text](target)` outside code, without those that leave the tree.
fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, content) in prose(text) {
        let mut rest = content.as_str();
        while let Some(start) = rest.find("](") {
            let name = code_name(&rest[..start]);
            rest = &rest[start + 2..];
            let Some(end) = rest.find(')') else { break };
            let target = rest[..end].split_whitespace().next().unwrap_or("");
            if !target.contains("://") && !target.starts_with("mailto:") {
                links.push(Link { line, name, target: target.to_owned() });
            }
            rest = &rest[end..];
        }
    }
    links
}

/// The last part of the path in code that `text` ends with, as in "see [`seam::Journal`".
fn code_name(text: &str) -> Option<String> {
    let (_, name) = text.rsplit_once("[`")?;
    let name = name.strip_suffix('`')?;
    is_code_name(name).then(|| name.rsplit("::").next().unwrap_or(name).to_owned())
}

fn is_code_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ':'))
}

/// The lines of a document outside fenced blocks, numbered from 1, with code spans blanked that are no names.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        let parts = line.split('`').enumerate();
        let parts = parts.map(|(at, part)| if at % 2 == 0 || is_code_name(part) { part } else { "" });
        (!fenced).then(|| (index + 1, parts.collect::<Vec<_>>().join("`")))
    })
}

fn broken(tree: &Tree, from: &Path, link: &Link) -> anyhow::Result<Option<String>> {
    let (file, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
    let target = if file.is_empty() {
        from.to_path_buf()
    } else {
        resolved(&from.parent().unwrap_or(Path::new("")).join(file))
    };
    if !tree.contains(&target) {
        return Ok(Some(format!("`{}` leads to no file", link.target)));
    }
    if let Some(name) = link.name.as_deref().filter(|_| target.extension().is_some_and(|is| is == "rs")) {
        let is_there =
            target.file_stem().is_some_and(|stem| stem == name) || has_word(&tree.read(&target)?, name);
        return Ok((!is_there).then(|| format!("`{}` has no `{name}`", target.display())));
    }
    if anchor.is_empty() || target.extension().is_none_or(|extension| extension != "md") {
        return Ok(None);
    }
    let missing = !anchors(&tree.read(&target)?).contains(anchor);
    Ok(missing.then(|| format!("`{}` has no heading `#{anchor}`", target.display())))
}

fn resolved(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            other => resolved.push(other),
        }
    }
    resolved
}

/// The anchors that a Markdown renderer gives to headings: lower case, spaces to dashes, punctuation gone.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) {
            anchors.insert(slug(heading.trim_start_matches('#').trim()));
        }
    }
    anchors
}

fn slug(heading: &str) -> String {
    heading
        .chars()
        .filter_map(|letter| match letter {
            ' ' | '-' => Some('-'),
            '_' => Some('_'),
            letter if letter.is_alphanumeric() => Some(letter.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::assert_findings;

    #[test]
    fn links_that_lead_somewhere_pass() {
        assert_findings(
            check,
            &[
                (
                    "README.md",
                    "[a](docs/a.md) [b](docs/a.md#data-folder) [c](#here) [d](https://example.org/x)\n# Here\n",
                ),
                ("docs/a.md", "# A\n## Data folder\n[up](../README.md) [folder](../crates/x)\n"),
                ("crates/x/src/lib.rs", ""),
            ],
            &[],
        );
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        assert_findings(
            check,
            &[
                ("README.md", "\n[a](docs/b.md)\n[b](docs/a.md#gone) and [c](#gone)\n"),
                ("docs/a.md", "# A\n```\n# gone\n```\n"),
            ],
            &[
                "README.md:2: `docs/b.md` leads to no file [link]",
                "README.md:3: `README.md` has no heading `#gone` [link]",
                "README.md:3: `docs/a.md` has no heading `#gone` [link]",
            ],
        );
    }

    #[test]
    fn a_link_named_by_code_leads_to_that_code() {
        assert_findings(
            check,
            &[
                (
                    "README.md",
                    "[`seam::Journal`](src/seam.rs), [`seam`](src/seam.rs) and [`Gone`](src/seam.rs)",
                ),
                ("src/seam.rs", "pub trait Journal {}\npub struct NotGone;"),
            ],
            &["README.md:1: `src/seam.rs` has no `Gone` [link]"],
        );
    }

    #[test]
    fn code_is_not_a_link() {
        assert_findings(check, &[("README.md", "`[a](b)`\n```\n[a](b)\n```\n")], &[]);
    }
}
