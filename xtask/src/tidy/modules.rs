//! Files that the compiler never sees, and where modules lie.
//!
//! `foo.rs` beside `foo/`, never `mod.rs`; every file under `src/` and `tests/it/` is declared by its parent;
//! a crate has one integration binary, `tests/it/main.rs`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::tree::has_component;
use super::{Finding, Tree};

pub(crate) fn check(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in tree.rust_files() {
        if path.ends_with("mod.rs") {
            findings.push(Finding::of_file("mod-rs", path, "modules are `foo.rs` beside `foo/`"));
        } else if is_stray_test(path) {
            let message = "a crate has one integration binary: move this below `tests/it/`";
            findings.push(Finding::of_file("forgotten-file", path, message));
        } else if let Some(module) = Module::of(path) {
            findings.extend(module.undeclared(tree, path)?);
        }
    }
    Ok(findings)
}

/// A file directly in `tests/`, which cargo would make a binary of its own.
fn is_stray_test(path: &Path) -> bool {
    path.starts_with("crates") && path.parent().and_then(Path::file_name) == Some(OsStr::new("tests")) && {
        !has_component(path, "src")
    }
}

/// A file that has to be declared, and the files that may do it.
struct Module {
    name: String,
    parents: Vec<PathBuf>,
}

impl Module {
    fn of(path: &Path) -> Option<Self> {
        let top = path.ancestors().find(|folder| folder.ends_with("src") || folder.ends_with("tests/it"))?;
        let folder = path.parent()?;
        let name = path.file_stem()?.to_string_lossy().into_owned();
        if folder == top && (name == "lib" || name == "main") || folder == top.join("bin") {
            return None;
        }
        let parents = if folder == top {
            vec![top.join("lib.rs"), top.join("main.rs")]
        } else {
            vec![folder.with_extension("rs")]
        };
        Some(Self { name, parents })
    }

    fn undeclared(&self, tree: &Tree, path: &Path) -> anyhow::Result<Option<Finding>> {
        let present: Vec<&PathBuf> = self.parents.iter().filter(|parent| tree.contains(parent)).collect();
        for parent in &present {
            if declares(&tree.parse(parent)?, &self.name) {
                return Ok(None);
            }
        }
        let parent =
            present.first().or(self.parents.first().as_ref()).map(|parent| parent.display().to_string());
        let message = format!(
            "no `mod {};` in `{}`: the compiler never sees it",
            self.name,
            parent.unwrap_or_default()
        );
        Ok(Some(Finding::of_file("forgotten-file", path, message)))
    }
}

fn declares(file: &syn::File, name: &str) -> bool {
    file.items.iter().any(|item| matches!(item, syn::Item::Mod(module) if module.ident == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::assert_findings;

    #[test]
    fn declared_files_pass() {
        assert_findings(
            check,
            &[
                ("crates/x/src/lib.rs", "pub mod a;\n#[cfg(test)]\nmod tests;"),
                ("crates/x/src/tests.rs", ""),
                ("crates/x/src/a.rs", "mod b;"),
                ("crates/x/src/a/b.rs", "#[cfg(test)] mod tests;"),
                ("crates/x/src/a/b/tests.rs", ""),
                ("crates/x/src/bin/tool.rs", "fn main() {}"),
                ("crates/x/tests/it/main.rs", "mod doors;"),
                ("crates/x/tests/it/doors.rs", "mod grpc;"),
                ("crates/x/tests/it/doors/grpc.rs", ""),
                ("crates/x/src/generated/p.rs", ""),
                ("crates/x/benches/append.rs", "fn main() {}"),
            ],
            &[],
        );
    }

    #[test]
    fn forgotten_files_are_named() {
        assert_findings(
            check,
            &[
                ("crates/x/src/lib.rs", "mod a;"),
                ("crates/x/src/a.rs", ""),
                ("crates/x/src/a/tests.rs", ""),
                ("crates/x/src/b/c.rs", ""),
                ("crates/x/tests/it/main.rs", "// mod doors;"),
                ("crates/x/tests/it/doors.rs", ""),
                ("crates/x/tests/other.rs", ""),
            ],
            &[
                "crates/x/src/a/tests.rs: no `mod tests;` in `crates/x/src/a.rs`: the compiler never sees it [forgotten-file]",
                "crates/x/src/b/c.rs: no `mod c;` in `crates/x/src/b.rs`: the compiler never sees it [forgotten-file]",
                "crates/x/tests/it/doors.rs: no `mod doors;` in `crates/x/tests/it/main.rs`: the compiler never sees it [forgotten-file]",
                "crates/x/tests/other.rs: a crate has one integration binary: move this below `tests/it/` [forgotten-file]",
            ],
        );
    }

    #[test]
    fn mod_rs_is_refused() {
        assert_findings(
            check,
            &[("crates/x/src/lib.rs", "mod a;"), ("crates/x/src/a/mod.rs", "")],
            &["crates/x/src/a/mod.rs: modules are `foo.rs` beside `foo/` [mod-rs]"],
        );
    }
}
