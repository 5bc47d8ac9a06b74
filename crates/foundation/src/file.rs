//! Files that are put in place whole or not at all, and what belongs to that.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Writes `bytes` to a file that only its owner may read. Whoever looks, at any time, finds what was there before or all
/// of this; once it returns, the disk has it.
///
/// It blocks for as long as the disk takes. There is one writer for each path.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = with_suffix(path, ".new");
    // One that was left behind may have other permissions.
    remove_if_there(&draft)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    sync_parent(path)
}

/// Makes a directory, readable by its owner only, with those that it is in; one that is there stays as it is.
pub fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The path of a companion of a file, whose name goes on after that of the file.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Once it returns, the disk knows the directory of a file as it is: which names are in it, and which are gone. It blocks.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes a file; one that is not there is no error.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().expect("there is space");
        let path = folder.path().join("identity.json");
        std::fs::write(folder.path().join("identity.json.new"), "left behind").expect("there is space");
        for text in ["one", "another"] {
            replace(&path, text.as_bytes()).expect("there is space");
            assert_eq!(std::fs::read_to_string(&path).expect("it is there"), text);
        }
        let mode = path.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(folder.path().read_dir().expect("it is there").count(), 1);
        replace(&folder.path().join("absent/file"), b"").expect_err("there is no such folder");
    }
}
