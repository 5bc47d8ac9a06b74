//! What weir keeps is readable by its own user only.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use weir_system_tests::process::Setup;
use weir_system_tests::reckoning::delivered;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

/// All that is in a directory, at any depth.
fn contents(directory: &Path) -> Vec<PathBuf> {
    let entries = directory.read_dir().unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { [contents(&path), vec![path]].concat() } else { vec![path] })
        .collect()
}

fn check(data_dir: &Path) {
    for path in contents(data_dir) {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{} has mode {:04o}", path.display(), mode(&path));
    }
    let is_there = |path: &str| data_dir.join(path).exists();
    for path in ["journal/journal-000001.db", "journal/groups.db", "index/manifest.db", "index/shop"] {
        assert!(is_there(path), "{path} was looked at");
    }
}

/// Runs it once, up to a segment; answers with what it logged.
async fn lived(setup: &Setup) -> String {
    let (mut weir, log) = setup.spawn_logged();
    weir.ready().await;
    setup.feed(&["send", "--app", "shop"], b"one\n").good();
    delivered(setup.addresses).await;
    check_running(&setup.data_dir);
    assert!(weir.terminate().await.success());
    check(&setup.data_dir);
    log.join().unwrap()
}

/// Files come and go while it runs: those of SQLite beside its databases do not outlive it.
fn check_running(data_dir: &Path) {
    for path in ["journal/journal-000001.db-wal", "journal/journal-000001.db-shm", "index/manifest.db-wal"] {
        assert_eq!(mode(&data_dir.join(path)), 0o600, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_their_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(&directory.path().join("data"));
    let log = lived(&setup).await;
    assert_eq!(mode(&setup.data_dir), 0o700);
    assert!(!log.contains("other users"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_others_can_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path());
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o750)).unwrap();
    let log = lived(&setup).await;
    let warning = log.lines().find(|line| line.contains("other users can look into the data directory"));
    let warning = warning.expect("it is said");
    assert!(warning.contains("\"WARN\"") && warning.contains("\"0750\""), "{warning}");
    assert!(warning.contains(directory.path().to_str().unwrap()), "{warning}");
    assert_eq!(mode(directory.path()), 0o750, "it is the operator's affair");
}
