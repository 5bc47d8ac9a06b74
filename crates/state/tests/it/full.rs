use weir_foundation::failure::chain;
use weir_model::ByteSize;
use weir_state::sqlite::SqliteSettings;
use weir_state::{CommitError, Expect, State};

use crate::support::{CUP, open, put, try_open, value};

/// What does not fit leaves everything as it was, and what frees space makes room.
#[tokio::test]
async fn a_full_store_refuses_and_stays_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state");
    let limited = SqliteSettings { size_limit: Some(ByteSize(256 << 10)), ..SqliteSettings::new(&path) };
    let state = try_open(limited).expect("it opens");
    let before = state.commit(&[put("first", "kept")]).await.expect("it fits");
    let mut fitted = 0;
    let refused = loop {
        let name = format!("large-{fitted}");
        let writes = [put("beside", name.as_str()), put(&name, vec![7; 50_000]), put("first", "changed")];
        match state.commit(&writes).await {
            Ok(_) => fitted += 1,
            Err(error) => break error,
        }
        assert!(fitted < 10, "the limit is kept");
    };
    assert!(matches!(refused, CommitError::Full(_)), "{}", chain(&refused));
    assert!(!refused.outcome_unknown() && refused.retry_after().is_some());
    let last = format!("large-{}", fitted - 1);
    assert_eq!(value(&*state, "beside").await, Some(last.clone().into_bytes()), "of the last that fitted");
    assert_eq!(value(&*state, &format!("large-{fitted}")).await, None);
    assert_eq!(*state.revision().borrow(), before + fitted);
    let freed = state.commit(&[CUP.key(last).delete(Expect::Any)]).await.expect("a deletion fits");
    assert_eq!(freed, before + fitted + 1);
    state.commit(&[put("again", vec![7; 40_000])]).await.expect("there is room again");
    state.close().await;
    let state = open(&path);
    assert_eq!(value(&*state, "again").await.map(|value| value.len()), Some(40_000));
}
