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
