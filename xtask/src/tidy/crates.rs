//! What every crate owes the tree: a line in `crates/README.md`, the shared lints, dependencies that are pinned
//! in the workspace and used.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use toml::{Table, Value};

use super::{Finding, Tree};

const INDEX: &str = "crates/README.md";

pub(crate) fn check(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let mut findings = index(tree)?;
    for manifest in manifests(tree) {
        let table: Table = toml::from_str(&tree.read(manifest)?)
            .with_context(|| format!("parsing `{}`", manifest.display()))?;
        findings.extend(lints(manifest, &table));
        findings.extend(loose_dependencies(manifest, &table));
        findings.extend(idle_dependencies(tree, manifest, &table)?);
    }
    Ok(findings)
}

/// Every folder below `crates/` has one row `| name | what it is | what it must never know |`.
fn index(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let folders: BTreeSet<String> = manifests(tree)
        .filter_map(|manifest| manifest.strip_prefix("crates").ok()?.parent()?.to_str().map(str::to_owned))
        .collect();
    if folders.is_empty() {
        return Ok(Vec::new());
    }
    let index = Path::new(INDEX);
    let text = if tree.contains(index) { tree.read(index)? } else { String::new() };
    let rows: Vec<Row<'_>> = text.lines().filter_map(Row::parse).collect();
    let mut findings = Vec::new();
    for folder in &folders {
        match rows.iter().find(|row| row.name == folder.as_str()) {
            None => findings.push(Finding::of_file("crate-index", INDEX, format!("no row for `{folder}`"))),
            Some(row) if row.what.is_empty() || row.never.is_empty() => {
                let message = format!("`{folder}`: say what it is and what it must never know");
                findings.push(Finding::of_file("crate-index", INDEX, message));
            }
            Some(_) => {}
        }
    }
    for row in rows.iter().filter(|row| !folders.contains(row.name)) {
        findings.push(Finding::of_file("crate-index", INDEX, format!("`{}` is not a crate", row.name)));
    }
    Ok(findings)
}

struct Row<'a> {
    name: &'a str,
    what: &'a str,
    never: &'a str,
}

impl<'a> Row<'a> {
    /// A row whose first cell is a name in backticks; head and rule of a table are none.
    fn parse(line: &'a str) -> Option<Self> {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        Some(Self { name, what: cells.next().unwrap_or(""), never: cells.next().unwrap_or("") })
    }
}

fn manifests(tree: &Tree) -> impl Iterator<Item = &Path> {
    tree.files().filter(|path| {
        path.ends_with("Cargo.toml") && (path.starts_with("crates") || path.starts_with("xtask"))
    })
}

fn lints(manifest: &Path, table: &Table) -> Option<Finding> {
    let inherits = table.get("lints").and_then(|lints| lints.get("workspace")?.as_bool()) == Some(true);
    (!inherits).then(|| {
        Finding::of_file("crate-lints", manifest, "does not take the lints of the workspace (`[lints]`)")
    })
}

fn dependencies(table: &Table) -> impl Iterator<Item = (&String, &Value)> {
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|section| table.get(section)?.as_table())
        .flatten()
}

/// Versions and features are said once, in the workspace: two crates with other features build a family twice.
fn loose_dependencies(manifest: &Path, table: &Table) -> Vec<Finding> {
    dependencies(table)
        .filter(|(_, value)| {
            value.get("workspace").and_then(Value::as_bool) != Some(true) || value.get("features").is_some()
        })
        .map(|(name, _)| {
            let message =
                format!("`{name}`: write `{name}.workspace = true`, version and features in the root");
            Finding::of_file("loose-dependency", manifest, message).about(name)
        })
        .collect()
}

/// Dependencies that no source of the crate names: they cost build time and say something untrue.
fn idle_dependencies(tree: &Tree, manifest: &Path, table: &Table) -> anyhow::Result<Vec<Finding>> {
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let mut words = BTreeSet::new();
    for path in tree.with_extension("rs").filter(|path| path.starts_with(folder)) {
        let text = tree.read(path)?;
        words
            .extend(text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').map(str::to_owned));
    }
    Ok(dependencies(table)
        .filter(|(name, _)| !words.contains(&name.replace('-', "_")))
        .map(|(name, _)| {
            Finding::of_file("idle-dependency", manifest, format!("`{name}` is used nowhere in the crate"))
                .about(name)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::assert_findings;

    const MANIFEST: &str = "[package]\nname = 'weir-x'\n[lints]\nworkspace = true\n";
    const ROW: &str = "| crate | what | never |\n|---|---|---|\n| `x` | a crate | a secret |\n";

    #[test]
    fn a_crate_in_order_passes() {
        assert_findings(check, &[("crates/x/Cargo.toml", MANIFEST), (INDEX, ROW)], &[]);
    }

    #[test]
    fn the_index_names_every_crate_and_no_other() {
        assert_findings(
            check,
            &[
                ("crates/x/Cargo.toml", MANIFEST),
                ("crates/y/Cargo.toml", MANIFEST),
                (INDEX, "| `y` | a | |\n| `z` | a | b |"),
            ],
            &[
                "crates/README.md: `y`: say what it is and what it must never know [crate-index]",
                "crates/README.md: `z` is not a crate [crate-index]",
                "crates/README.md: no row for `x` [crate-index]",
            ],
        );
    }

    #[test]
    fn a_crate_without_the_shared_lints_is_found() {
        assert_findings(
            check,
            &[("crates/x/Cargo.toml", "[package]\nname = 'weir-x'\n"), (INDEX, ROW)],
            &["crates/x/Cargo.toml: does not take the lints of the workspace (`[lints]`) [crate-lints]"],
        );
    }

    #[test]
    fn a_dependency_that_no_source_names_is_found() {
        let dependencies = "[dependencies]\nserde-json.workspace = true\nbytes.workspace = true\n\
            [dev-dependencies]\ntempfile.workspace = true\n";
        assert_findings(
            check,
            &[
                ("crates/x/Cargo.toml", &format!("{MANIFEST}{dependencies}")),
                ("crates/x/src/lib.rs", "use serde_json::Value;"),
                ("crates/x/tests/it/main.rs", "use tempfile::TempDir;"),
                (INDEX, ROW),
            ],
            &["crates/x/Cargo.toml: `bytes` is used nowhere in the crate [idle-dependency]"],
        );
    }

    #[test]
    fn a_dependency_with_a_version_or_features_of_its_own_is_found() {
        let dependencies =
            "[dependencies]\na = '1'\nb = { workspace = true, features = ['x'] }\nc = { workspace = true }\n";
        assert_findings(
            check,
            &[
                ("crates/x/Cargo.toml", &format!("{MANIFEST}{dependencies}")),
                ("crates/x/src/lib.rs", "use {a, b, c};"),
                (INDEX, ROW),
            ],
            &[
                "crates/x/Cargo.toml: `a`: write `a.workspace = true`, version and features in the root [loose-dependency]",
                "crates/x/Cargo.toml: `b`: write `b.workspace = true`, version and features in the root [loose-dependency]",
            ],
        );
    }
}
