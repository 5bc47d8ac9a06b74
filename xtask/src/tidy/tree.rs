//! The files of a working tree, without what tools leave in it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use walkdir::{DirEntry, WalkDir};

/// Folders that hold no sources of ours, by name anywhere or by path from the root.
const SKIPPED_NAMES: &[&str] = &["target", ".git", "node_modules", "corpus", "artifacts"];
const SKIPPED_PATHS: &[&str] = &[".services", "data", "dist"];

#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    files: Vec<PathBuf>,
}

impl Tree {
    /// Lists the files under `root`, in order of path.
    pub(crate) fn open(root: &Path) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        let walk = WalkDir::new(root).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(|entry| !is_skipped(root, entry)) {
            let entry = entry.with_context(|| format!("listing `{}`", root.display()))?;
            if entry.file_type().is_file() {
                files.push(entry.path().strip_prefix(root)?.to_path_buf());
            }
        }
        Ok(Self { root: root.to_path_buf(), files })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    /// Rust files written by hand: what lies under a folder `generated` has a check of its own.
    pub(crate) fn rust_files(&self) -> impl Iterator<Item = &Path> {
        self.with_extension("rs").filter(|path| !has_component(path, "generated"))
    }

    pub(crate) fn with_extension(&self, extension: &'static str) -> impl Iterator<Item = &Path> {
        self.files().filter(move |path| path.extension() == Some(OsStr::new(extension)))
    }

    pub(crate) fn contains(&self, path: &Path) -> bool {
        self.files.iter().any(|file| file == path || file.starts_with(path))
    }

    pub(crate) fn read(&self, path: &Path) -> anyhow::Result<String> {
        fs::read_to_string(self.root.join(path)).with_context(|| format!("reading `{}`", path.display()))
    }

    /// Parses a Rust file; a file that does not parse is an error of the tree, not a finding.
    pub(crate) fn parse(&self, path: &Path) -> anyhow::Result<syn::File> {
        syn::parse_file(&self.read(path)?).with_context(|| format!("parsing `{}`", path.display()))
    }
}

fn is_skipped(root: &Path, entry: &DirEntry) -> bool {
    if !entry.file_type().is_dir() {
        return false;
    }
    let name = entry.file_name().to_string_lossy();
    let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
    SKIPPED_NAMES.contains(&name.as_ref()) || SKIPPED_PATHS.iter().any(|skipped| path == Path::new(skipped))
}

pub(crate) fn has_component(path: &Path, name: &str) -> bool {
    path.components().any(|component| component == Component::Normal(OsStr::new(name)))
}
