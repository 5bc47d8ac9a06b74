//! What the journal asks of the file system beside its files.

use std::fmt;
use std::path::Path;

/// How much space there is; tests put their own in its place.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Bytes that an unprivileged process can still write in the file system of `directory`.
    fn free(&self, directory: &Path) -> std::io::Result<u64>;

    /// The largest number of pages that a file may have, beyond which SQLite says that the disk is full.
    fn page_limit(&self) -> Option<u32> {
        None
    }
}

/// The file system as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn free(&self, directory: &Path) -> std::io::Result<u64> {
        let system = rustix::fs::statvfs(directory)?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }
}
