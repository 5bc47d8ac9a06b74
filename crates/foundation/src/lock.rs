//! One process owns a directory: an advisory lock on a file in it that names the owner.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::file::make_directory;

const FILE_NAME: &str = "lock";

/// Held until it is dropped; the kernel takes it back when the process dies.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

/// The directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// By another lock, of this process or another one.
    #[error("it is locked{owner}", owner = .owner.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Taken {
        /// The process that has it to itself, if known.
        owner: Option<u32>,
    },
    #[error("the lock file could not be used")]
    Io(#[from] io::Error),
}

impl DirectoryLock {
    /// Has the directory to itself, or fails at once. It is made, for its owner only, if it is not there.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        make_directory(directory)?;
        let mut file = open(directory)?;
        locked(file.try_lock(), &mut file)?;
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }

    /// Keeps others from [taking](Self::take) the directory; many may share. Nothing if it was never locked.
    pub fn share(directory: &Path) -> Result<Option<Self>, LockError> {
        let mut file = match File::open(directory.join(FILE_NAME)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        locked(file.try_lock_shared(), &mut file)?;
        Ok(Some(Self { _file: file }))
    }

    /// Has a directory that is there to itself once nobody else has; it blocks until then.
    pub fn wait(directory: &Path) -> io::Result<Self> {
        let file = open(directory)?;
        file.lock()?;
        Ok(Self { _file: file })
    }
}

fn open(directory: &Path) -> io::Result<File> {
    let path = directory.join(FILE_NAME);
    File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn locked(outcome: Result<(), TryLockError>, file: &mut File) -> Result<(), LockError> {
    match outcome {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(LockError::Taken { owner: owner(file) }),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn owner(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_or_many_share_it() {
        let folder = tempfile::tempdir().expect("there is space");
        assert!(DirectoryLock::share(folder.path()).expect("it is there").is_none());
        let taken = DirectoryLock::take(folder.path()).expect("it is free");
        for error in [
            DirectoryLock::take(folder.path()).expect_err("it is taken"),
            DirectoryLock::share(folder.path()).expect_err("it is taken"),
        ] {
            assert_eq!(error.to_string(), format!("it is locked (pid {})", std::process::id()));
        }
        drop(taken);
        let shared = [(); 2].map(|()| DirectoryLock::share(folder.path()).expect("it is free"));
        assert!(shared.iter().all(Option::is_some));
        assert!(matches!(DirectoryLock::take(folder.path()), Err(LockError::Taken { .. })));
        drop(shared);
        drop(DirectoryLock::wait(folder.path()).expect("it is free"));
        drop(DirectoryLock::take(folder.path()).expect("it is free"));
        drop(DirectoryLock::take(&folder.path().join("new/one")).expect("it is made"));
        let in_a_file = folder.path().join(FILE_NAME).join("folder");
        assert!(matches!(DirectoryLock::take(&in_a_file), Err(LockError::Io(_))));
    }
}
