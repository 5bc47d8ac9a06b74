//! Who may depend on whom: `xtask/layers.toml` against `cargo metadata`.

mod table;

use std::path::Path;

use anyhow::Context as _;
use cargo_metadata::{Dependency, DependencyKind, MetadataCommand, Package};

use super::{Finding, Tree};
use table::{Fence, Layers, Role};

const TABLE: &str = "xtask/layers.toml";

pub(crate) fn check(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let table = Layers::parse(&tree.read(Path::new(TABLE))?).with_context(|| format!("parsing `{TABLE}`"))?;
    let metadata = MetadataCommand::new()
        .manifest_path(tree.root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("asking cargo for the packages of the workspace")?;
    let mut findings = completeness(&table, &metadata.packages);
    for package in &metadata.packages {
        for dependency in &package.dependencies {
            findings.extend(
                arrow(&table, package, dependency).map(|message| finding(package, dependency, &message)),
            );
            findings.extend(
                ban(&table, package, dependency).map(|message| finding(package, dependency, &message)),
            );
            for fence in &table.fences {
                let message = crossing(&table, fence, package, dependency);
                findings.extend(message.map(|message| finding(package, dependency, &message)));
            }
        }
    }
    Ok(findings)
}

fn finding(package: &Package, dependency: &Dependency, message: &str) -> Finding {
    Finding::of_file("layers", TABLE, format!("`{}` -> `{}`: {message}", package.name, dependency.name))
        .about(package.name.as_str())
}

/// The table and the workspace name the same crates.
fn completeness(table: &Layers, packages: &[Package]) -> Vec<Finding> {
    let missing = packages
        .iter()
        .filter(|package| !table.crates.contains_key(package.name.as_str()))
        .map(|package| format!("`{}` has no layer", package.name));
    let extra = table
        .crates
        .keys()
        .filter(|name| packages.iter().all(|package| package.name.as_str() != name.as_str()))
        .map(|name| format!("`{name}` is not in the workspace"));
    missing.chain(extra).map(|message| Finding::of_file("layers", TABLE, message)).collect()
}

/// What is wrong with an arrow between two crates of the workspace.
fn arrow(table: &Layers, package: &Package, dependency: &Dependency) -> Option<String> {
    let from = table.crates.get(package.name.as_str())?;
    let to = table.crates.get(&dependency.name)?;
    match to.role {
        Role::Tests if is_in_tests(table, package, dependency) => None,
        Role::Tests => Some("is for tests only: make it a dev-dependency".to_owned()),
        Role::Product if to.layer < from.layer => None,
        Role::Product => {
            Some(format!("layer {} may only point below itself, not to layer {}", from.layer, to.layer))
        }
    }
}

fn ban(table: &Layers, package: &Package, dependency: &Dependency) -> Option<String> {
    let rules = table.crates.get(package.name.as_str())?;
    rules
        .never
        .contains(&dependency.name)
        .then(|| "is on the list of what this crate must never know".to_owned())
}

fn crossing(table: &Layers, fence: &Fence, package: &Package, dependency: &Dependency) -> Option<String> {
    let name = package.name.as_str();
    let inside =
        fence.only.contains(name) || is_in_tests(table, package, dependency) && fence.dev.contains(name);
    (fence.packages.contains(&dependency.name) && !inside).then(|| format!("is fenced: {}", fence.reason))
}

/// Whether the arrow is of no matter to what is shipped.
fn is_in_tests(table: &Layers, package: &Package, dependency: &Dependency) -> bool {
    let role = table.crates.get(package.name.as_str()).map(|rules| rules.role);
    dependency.kind == DependencyKind::Development || role == Some(Role::Tests)
}

#[cfg(test)]
mod tests;
