use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;
use weir_state::sqlite::SqliteSettings;
use weir_state::{OpenError, State};

use crate::support::{open, put, try_open};

/// A state with something in it, closed.
async fn written() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state");
    let state = open(&path);
    state.commit(&[put("a", "1")]).await.expect("committed");
    state.close().await;
    (directory, path)
}

/// What is in its files, but for those that SQLite leaves and that hold nothing.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(directory).expect("listed").map(|file| file.expect("listed"));
    let content = |file: std::fs::DirEntry| {
        (file.file_name().to_string_lossy().into_owned(), std::fs::read(file.path()).expect("read"))
    };
    let holds = |(name, content): &(String, Vec<u8>)| !name.ends_with("-shm") && !content.is_empty();
    files.map(content).filter(holds).collect()
}

/// The text of the refusal, and nothing is changed.
#[track_caller]
fn refusal(path: &Path) -> OpenError {
    let before = contents(path);
    let error = try_open(SqliteSettings::new(path)).expect_err("it is refused");
    assert!(contents(path) == before, "something was changed: {error}");
    error
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name_and_untouched() {
    let (_directory, path) = written().await;
    let connection = Connection::open(path.join("state.db")).expect("it opens");
    connection.pragma_update(None, "user_version", 2).expect("set");
    connection.close().expect("closed");
    let error = refusal(&path);
    assert!(matches!(error, OpenError::NewerFormat { found: 2, known: 1, .. }));
    let text = format!(
        "`{}` has state format 2, this weir reads up to 1; use a newer weir",
        path.join("state.db").display()
    );
    assert_eq!(error.to_string(), text);
}

/// A newer weir that was killed has its version in the WAL only.
#[tokio::test]
async fn a_newer_format_in_the_wal_is_refused_and_untouched() {
    let (_directory, path) = written().await;
    let connection = Connection::open(path.join("state.db")).expect("it opens");
    connection.pragma_update(None, "user_version", 9).expect("set");
    let killed = tempfile::tempdir().expect("a directory");
    for name in ["state.db", "state.db-wal", "lock"] {
        std::fs::copy(path.join(name), killed.path().join(name)).expect("copied");
    }
    let error = refusal(killed.path());
    assert!(matches!(error, OpenError::NewerFormat { found: 9, .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_state_is_refused_and_untouched() {
    let check = async |spoil: fn(&Path), expected: fn(&OpenError) -> bool| {
        let (_directory, path) = written().await;
        spoil(&path.join("state.db"));
        let error = refusal(&path);
        assert!(expected(&error), "{error:?}");
    };
    let foreign = |error: &OpenError| matches!(error, OpenError::ForeignFile { .. });
    let damaged = |error: &OpenError| matches!(error, OpenError::Damaged { .. });
    check(|file| std::fs::write(file, "diary ".repeat(100)).expect("written"), foreign).await;
    check(|file| std::fs::write(file, "").expect("written"), damaged).await;
    check(|file| std::fs::write(file, "SQLite").expect("written"), damaged).await;
    let of_others = |file: &Path| {
        let connection = Connection::open(file).expect("it opens");
        connection.pragma_update(None, "application_id", 77).expect("set");
    };
    check(of_others, foreign).await;
    let scratched = |file: &Path| {
        let mut bytes = std::fs::read(file).expect("read");
        // The page behind the first, which names the tables.
        bytes[4096..8192].fill(0x5a);
        std::fs::write(file, bytes).expect("written");
    };
    check(scratched, damaged).await;
    // Else what is in the WAL would go into a new file.
    let gone = |file: &Path| {
        std::fs::write(file.with_extension("db-wal"), "something").expect("written");
        std::fs::remove_file(file).expect("removed");
    };
    check(gone, damaged).await;
}

#[tokio::test]
async fn it_is_for_its_user_only() {
    let (_directory, path) = written().await;
    let state = open(&path);
    state.commit(&[put("a", "2")]).await.expect("committed");
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for file in std::fs::read_dir(&path).expect("listed") {
        let file = file.expect("listed").path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    drop(state);
    let check = |file: &Path, found: u32, wanted: u32, is_refused: bool| {
        std::fs::set_permissions(file, Permissions::from_mode(found)).expect("set");
        match try_open(SqliteSettings::new(&path)) {
            Err(error @ OpenError::Exposed { .. }) => {
                assert!(is_refused, "{error}");
                let text = error.to_string();
                assert!(
                    text.contains(&format!("{found:04o}")) && text.contains(&format!("`chmod {wanted:o}`")),
                    "{text}"
                );
            }
            other => assert!(other.is_ok() && !is_refused, "{found:o}: {other:?}"),
        }
        std::fs::set_permissions(file, Permissions::from_mode(wanted)).expect("set");
    };
    let file = path.join("state.db");
    check(&file, 0o604, 0o600, true);
    check(&file, 0o602, 0o600, true);
    check(&file, 0o666, 0o600, true);
    check(&file, 0o660, 0o600, false);
    check(&path, 0o702, 0o700, true);
    check(&path, 0o777, 0o700, true);
    check(&path, 0o755, 0o700, false);
    check(&path, 0o700, 0o700, false);
}
