//! The directory with everything that weir keeps.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context as _, Result};
use weir_foundation::file::make_directory;

/// Bytes of the file that is written for a try: a block.
const PROBE: usize = 4096;

/// The permissions of everybody but the owner.
const OTHERS: u32 = 0o077;

/// Makes the directory, for the owner alone, if it is not there; and makes sure that it can be written to. One that
/// was made with wider permissions stays as it is, which is told.
pub(crate) fn prepare(directory: &Path) -> Result<()> {
    prepare_by(directory, probe)
}

/// The same for whoever can go on without any space, which is told.
pub(crate) fn prepare_without_space(directory: &Path) -> Result<()> {
    prepare_by(directory, |directory| match probe(directory) {
        Err(error) if error.kind() == ErrorKind::StorageFull => {
            let path = directory.display();
            tracing::error!(%path, %error, "there is no space in the data directory");
            Ok(())
        }
        probed => probed,
    })
}

fn prepare_by(directory: &Path, probe: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    make_directory(directory)
        .with_context(|| format!("make the data directory `{}`", directory.display()))?;
    probe(directory).with_context(|| format!("write to the data directory `{}`", directory.display()))?;
    let mode = std::fs::metadata(directory)
        .with_context(|| format!("look at the data directory `{}`", directory.display()))?
        .permissions()
        .mode();
    if mode & OTHERS != 0 {
        let (path, mode) = (directory.display(), format!("{:04o}", mode & 0o7777));
        tracing::warn!(%path, mode, "other users can look into the data directory; make it 0700 with `chmod`");
    }
    Ok(())
}

/// A directory tells only when it is written to whether it can be, and whether there is any space.
fn probe(directory: &Path) -> std::io::Result<()> {
    let file = directory.join(".probe");
    let written = std::fs::write(&file, [1; PROBE]);
    // It may be there, and empty, when it could not be written.
    let removed = std::fs::remove_file(file);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_directory_is_the_owners_alone() {
        let parent = tempfile::tempdir().expect("there is space");
        let directory = parent.path().join("a/b");
        prepare(&directory).expect("it can be made");
        let mode = directory.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(directory.read_dir().expect("it can be read").count(), 0);
        prepare(&directory).expect("it may be there already");
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let parent = tempfile::tempdir().expect("there is space");
        let file = parent.path().join("data");
        std::fs::write(&file, b"").expect("there is space");
        let error = prepare(&file).expect_err("it is a file");
        assert_eq!(error.to_string(), format!("make the data directory `{}`", file.display()));
    }
}
