//! Looking for files.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use super::identity::FileId;
use super::inputs::Input;
use super::walk::Walked;

/// What the patterns of all inputs match now.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files: BTreeMap<FileId, Match>,
    /// Folders in which something may come to be that is matched.
    pub(super) folders: BTreeSet<PathBuf>,
    /// What could not be looked at.
    pub(super) errors: Vec<(Arc<Input>, PathBuf, io::Error)>,
}

/// A file that is to be read.
#[derive(Debug)]
pub(super) struct Match {
    /// The first that wants it.
    pub(super) input: Arc<Input>,
    /// By which of its patterns.
    pub(super) pattern: usize,
    /// One of its names.
    pub(super) path: PathBuf,
}

pub(super) fn find<'a>(inputs: impl Iterator<Item = &'a Arc<Input>>) -> Found {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    for input in inputs {
        for (index, walk) in input.walks.iter().enumerate() {
            let mut walked = Walked::default();
            walk.find(&mut walked);
            found.folders.extend(walked.folders);
            for (path, error) in walked.errors {
                found.errors.push((Arc::clone(input), path, error));
            }
            for path in walked.names {
                found.look_at(input, index, path, &mut seen);
            }
        }
    }
    found
}

impl Found {
    fn look_at(&mut self, input: &Arc<Input>, pattern: usize, path: PathBuf, seen: &mut HashSet<PathBuf>) {
        if input.excludes(&path) || !seen.insert(path.clone()) {
            return;
        }
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                let input = Arc::clone(input);
                self.files.entry(FileId::of(&metadata)).or_insert(Match { input, pattern, path });
            }
            Ok(_) => {}
            // It was there a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.errors.push((Arc::clone(input), path, error)),
        }
    }
}

/// Opens the file that a scan has found, if it is still the one.
pub(super) fn open(path: &Path, id: FileId) -> io::Result<Option<(File, Metadata)>> {
    // Something else may be there by now, such as a pipe that would be waited for.
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = match File::options().read(true).custom_flags(nonblocking).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    let is_the_one = metadata.is_file() && FileId::of(&metadata) == id;
    Ok(is_the_one.then_some((file, metadata)))
}
