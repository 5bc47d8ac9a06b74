//! One process owns a journal directory: an advisory lock on a file that names the owner.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::error::OpenError;

const FILE_NAME: &str = "lock";

/// Held as long as the journal is open; the kernel takes it back when the process dies.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

/// Makes the directory, readable by its owner only, if it is not there.
pub(super) fn make_directory(path: &Path) -> Result<(), OpenError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| OpenError::Directory { path: path.to_owned(), source: source.into() })
}

impl DirectoryLock {
    pub(super) fn take(directory: &Path) -> Result<Self, OpenError> {
        let failed = |source: std::io::Error| OpenError::Directory {
            path: directory.to_owned(),
            source: source.into(),
        };
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(directory.join(FILE_NAME))
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(OpenError::InUse { path: directory.to_owned(), owner: owner(&mut file) });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        file.set_len(0).map_err(failed)?;
        write!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }

    /// Keeps others from opening the journal; many may share. Nothing if there is no lock to take.
    pub(super) fn share(directory: &Path) -> Result<Option<Self>, OpenError> {
        let failed = |source: std::io::Error| OpenError::Directory {
            path: directory.to_owned(),
            source: source.into(),
        };
        let mut file = match File::open(directory.join(FILE_NAME)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(OpenError::InUse { path: directory.to_owned(), owner: owner(&mut file) })
            }
            Err(errno) => Err(failed(errno.into())),
        }
    }
}

fn owner(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
