//! Looking for files.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::identity::FileId;
use crate::section::FilesSettings;

/// What the patterns of all inputs match now.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By what they are: the input that wants it, and one of its names.
    pub(super) files: BTreeMap<FileId, (usize, PathBuf)>,
    /// What could not be looked at.
    pub(super) errors: Vec<(PathBuf, io::Error)>,
}

pub(super) fn find(inputs: &[FilesSettings]) -> Found {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    for (index, input) in inputs.iter().enumerate() {
        for pattern in &input.paths {
            // It was validated.
            let Ok(paths) = glob::glob(pattern) else { continue };
            for path in paths {
                match path {
                    Ok(path) => found.look_at(index, input, path, &mut seen),
                    Err(error) => {
                        let path = error.path().to_owned();
                        found.errors.push((path, error.into()));
                    }
                }
            }
        }
    }
    found
}

impl Found {
    fn look_at(&mut self, index: usize, input: &FilesSettings, path: PathBuf, seen: &mut HashSet<PathBuf>) {
        if input.exclude.iter().any(|pattern| pattern.matches_path(&path)) || !seen.insert(path.clone()) {
            return;
        }
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                self.files.entry(FileId::of(&metadata)).or_insert((index, path));
            }
            Ok(_) => {}
            // It was there a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.errors.push((path, error)),
        }
    }
}

/// Opens the file that a scan has found, if it is still the one.
pub(super) fn open(path: &Path, id: FileId) -> io::Result<Option<(File, Metadata)>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    let is_the_one = metadata.is_file() && FileId::of(&metadata) == id;
    Ok(is_the_one.then_some((file, metadata)))
}
