//! A file that is open only while it has to be.

use std::fs::File;
use std::io;
use std::path::Path;

use super::identity::FileId;
use super::scan;

/// An open file, or the knowledge of which one it is.
#[derive(Debug)]
pub(super) struct Handle {
    id: FileId,
    file: Option<File>,
}

impl Handle {
    pub(super) fn new(id: FileId, file: File) -> Self {
        Self { id, file: Some(file) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// The file, if it is open.
    pub(super) fn get(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// The file, opened anew where it is closed, if the name still stands for it.
    pub(super) fn open(&mut self, path: &Path) -> io::Result<&File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let opened = scan::open(path, self.id)?;
                let (file, _) = opened.ok_or_else(|| {
                    io::Error::new(io::ErrorKind::NotFound, "another file has its name now")
                })?;
                file
            }
        };
        Ok(self.file.insert(file))
    }

    /// Whether it was open.
    pub(super) fn close(&mut self) -> bool {
        self.file.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn it_is_opened_again_if_its_name_still_stands_for_it() {
        let folder = tempfile::tempdir().expect("there is space");
        let path = folder.path().join("a");
        std::fs::write(&path, "text").expect("there is space");
        let file = File::open(&path).expect("it is there");
        let metadata = file.metadata().expect("it is there");
        let id = FileId { device: metadata.dev(), inode: metadata.ino() };
        let mut handle = Handle::new(id, file);
        assert!(handle.is_open() && handle.close() && !handle.close() && handle.get().is_none());
        let mut text = String::new();
        handle.open(&path).expect("it is there").read_to_string(&mut text).expect("it can be read");
        assert_eq!((text.as_str(), handle.is_open()), ("text", true));
        // What is open stays the same, whatever has its name.
        let other = folder.path().join("b");
        std::fs::rename(&path, &other).expect("it is there");
        assert!(handle.open(&path).is_ok() && handle.close());
        assert_eq!(handle.open(&path).expect_err("it is gone").kind(), io::ErrorKind::NotFound);
        std::fs::create_dir(&path).expect("there is space");
        assert!(handle.open(&path).is_err() && !handle.is_open());
        std::fs::remove_dir(&path).expect("it is there");
        // Nobody writes to it, and nobody waits for that.
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).expect("there is space");
        assert_eq!(handle.open(&path).expect_err("it is a pipe").kind(), io::ErrorKind::NotFound);
        assert!(handle.open(&other).is_ok());
    }
}
