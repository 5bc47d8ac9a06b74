use crate::error::CommitError;
use crate::seam::{Changes, Entry, Expect, Key, Kind, State, Write};

pub(super) const CUP: Kind = Kind::new("cup");
pub(super) const SPOON: Kind = Kind::new("spoon");

pub(super) fn put(key: Key, expect: Expect, text: &str) -> Write {
    key.put(expect, text.into())
}

pub(super) async fn committed(state: &dyn State, writes: &[Write]) -> u64 {
    state.commit(writes).await.expect("the commit is legal and nobody is in its way")
}

/// The key of the document that is not as expected.
pub(super) async fn conflict(state: &dyn State, writes: &[Write]) -> Key {
    match state.commit(writes).await {
        Err(CommitError::Conflict { key }) => key,
        other => unreachable!("no conflict: {other:?}"),
    }
}

pub(super) async fn read(state: &dyn State, key: &Key) -> Option<Entry> {
    state.get(key.kind, &key.name).await.expect("it can be read")
}

pub(super) async fn text(state: &dyn State, key: &Key) -> Option<String> {
    read(state, key).await.map(|entry| String::from_utf8(entry.value).expect("the suite writes texts"))
}

pub(super) async fn changes(state: &dyn State, since: u64) -> Changes {
    state.changes(&[CUP, SPOON], since).await.expect("it can be read")
}

/// Kind, name and value of each change, `-` for what was deleted.
pub(super) fn texts(changes: &Changes) -> Vec<String> {
    let text = |value: &Option<Vec<u8>>| {
        value.as_ref().map_or("-".into(), |value| String::from_utf8_lossy(value).into_owned())
    };
    let changes = changes.changes.iter();
    changes.map(|change| format!("{} {} {}", change.kind, change.name, text(&change.value))).collect()
}
