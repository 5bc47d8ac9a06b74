//! How much of the disk a spool takes.

use std::io;
use std::path::Path;

/// What the log of writes of a file grows to: as long as it is shorter, it may become so long.
const LOG: u64 = 4 << 20;

/// Bytes of all files. Those that were put aside for people do not count: nothing makes them go.
pub(super) fn used(directory: &Path) -> io::Result<u64> {
    let (mut files, mut log) = (0, 0);
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let length = match entry.metadata() {
            Ok(metadata) => metadata.len(),
            // It went meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if name.contains(".quarantined-") || name.ends_with("-shm") {
            continue;
        }
        if name.starts_with("journal-") && name.ends_with("-wal") {
            log += length;
        } else {
            files += length;
        }
    }
    Ok(files + log.max(LOG))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_aside_does_not_count() {
        let directory = tempfile::tempdir().expect("there is space");
        let write = |name: &str, length: usize| {
            std::fs::write(directory.path().join(name), vec![0; length]).expect("there is space");
        };
        assert_eq!(used(directory.path()).expect("it is there"), LOG);
        write("journal-000001.db", 1_000);
        write("groups.db", 10);
        write("journal-000001.db.quarantined-1", 5_000);
        write("journal-000001.db-shm", 7_000);
        assert_eq!(used(directory.path()).expect("it is there"), LOG + 1_010);
        write("journal-000001.db-wal", 5 << 20);
        assert_eq!(used(directory.path()).expect("it is there"), (5 << 20) + 1_010);
        assert!(used(&directory.path().join("nothing")).is_err());
    }
}
