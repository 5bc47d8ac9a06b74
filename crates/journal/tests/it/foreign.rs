//! Files that another program or a newer weir wrote: refused by name, and left as they are.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use weir_journal::OpenError;

use crate::damage::closed_journal;
use crate::support::{open, settings, try_open};

#[tokio::test]
async fn foreign_files_are_left_alone() {
    let directory = closed_journal(3).await;
    let foreign = directory.path().join("journal-000009.db");
    let other = rusqlite::Connection::open(&foreign).expect("made");
    other.execute_batch("create table important (data)").expect("made");
    drop(other);
    let refused = try_open(settings(directory.path()));
    assert!(matches!(refused, Err(OpenError::ForeignFile { path }) if path == foreign));
    assert!(foreign.exists());
    let mut path = foreign;
    for name in ["journal-copy.db", "journal-000000.db", "journal-0000001.db", "journal-4294967295.db"] {
        let renamed = directory.path().join(name);
        std::fs::rename(&path, &renamed).expect("renamed");
        let refused = try_open(settings(directory.path()));
        assert!(matches!(refused, Err(OpenError::ForeignFile { path }) if path == renamed), "{name}");
        path = renamed;
    }
    std::fs::remove_file(path).expect("removed");
    open(directory.path()).close().await;
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name() {
    for (file, newest) in [("journal-000001.db", 2), ("groups.db", 1)] {
        let directory = closed_journal(3).await;
        let path = directory.path().join(file);
        // The format is `user_version`, at byte 60 of an SQLite header.
        let written = OpenOptions::new().write(true).open(&path).expect("opened");
        written.write_all_at(&u32::to_be_bytes(newest + 1), 60).expect("written");
        let refused = try_open(settings(directory.path())).expect_err("it is newer");
        let message = refused.to_string();
        let OpenError::NewerFormat { found, known, .. } = refused else { panic!("{refused:?}") };
        assert_eq!((found, known), (newest + 1, newest));
        assert!(message.contains(file) && message.contains("use a newer weir"), "{message}");
        assert!(path.exists());
    }
}
