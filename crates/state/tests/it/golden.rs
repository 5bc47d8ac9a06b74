//! A file of each format that there was, written once and committed: it is read for ever.
//!
//! A new format needs a file of its own: `UPDATE_GENERATED=1` writes it. One that is there is never written over.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use weir_foundation::settings::Environment;
use weir_state::{Expect, Kind, State};

use crate::support::{CUP, open, put, value};

const SPOON: Kind = Kind::new("spoon");

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

async fn write(directory: &Path) {
    let state = open(directory);
    state
        .commit(&[put("a", "tea"), SPOON.key("a").put(Expect::Absent, vec![0, 255])])
        .await
        .expect("committed");
    state.commit(&[put("gone", "x")]).await.expect("committed");
    state.commit(&[CUP.key("gone").delete(Expect::Any), put("ä", "")]).await.expect("committed");
    state.close().await;
}

fn format(file: &Path) -> (u32, Vec<String>) {
    let connection = Connection::open(file).expect("it opens");
    let format = connection.query_row("pragma user_version", [], |row| row.get(0)).expect("it is a number");
    let mut statement = connection
        .prepare("select sql from sqlite_schema where sql is not null order by sql")
        .expect("it is SQL");
    let schema = statement.query_map([], |row| row.get(0)).expect("listed");
    (format, schema.map(|sql| sql.expect("it is a text")).collect())
}

#[tokio::test]
async fn files_of_every_format_are_read_and_written_on() {
    let fresh = tempfile::tempdir().expect("a directory");
    write(fresh.path()).await;
    let (newest, schema) = format(&fresh.path().join("state.db"));
    let of_newest = golden().join(format!("state-{newest}.db"));
    if Environment::of_process().get("UPDATE_GENERATED").is_some() && !of_newest.exists() {
        std::fs::create_dir_all(golden()).expect("made");
        std::fs::copy(fresh.path().join("state.db"), &of_newest).expect("copied");
    }
    for version in 1..=newest {
        let old = tempfile::tempdir().expect("a directory");
        let file = old.path().join("state.db");
        std::fs::write(&file, std::fs::read(golden().join(format!("state-{version}.db"))).expect("read"))
            .expect("written");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
        let state = open(old.path());
        assert_eq!(*state.revision().borrow(), 3);
        assert_eq!(value(&*state, "a").await.as_deref(), Some(b"tea".as_slice()));
        let spoon = state.get(SPOON, "a").await.expect("it can be read").expect("it is there");
        assert_eq!((spoon.version, spoon.value.as_slice()), (1, [0, 255].as_slice()));
        let changes = state.changes(&[CUP], 2).await.expect("it can be read");
        let gone = changes.changes.iter().find(|change| change.name == "gone").expect("it is remembered");
        assert_eq!((changes.whole, &gone.value, gone.version), (false, &None, 3));
        assert_eq!(state.commit(&[put("a", "coffee")]).await.expect("committed"), 4);
        state.close().await;
        assert_eq!(format(&file), (newest, schema.clone()));
    }
}
