//! An index with a damaged file: the rest of it is still there, and whoever asks is told.

use weir_system_tests::process::Setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_tells_what_it_could_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path());
    for lines in ["the first\n", "the second\n"] {
        let file = directory.path().join("app.log");
        std::fs::write(&file, lines).unwrap();
        let weir = setup.start().await;
        setup.run(&["send", "--app", "shop", file.to_str().unwrap()]).good();
        assert!(weir.terminate().await.success());
    }
    let mut segments: Vec<_> = std::fs::read_dir(setup.data_dir.join("index/shop"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .collect();
    segments.sort();
    assert_eq!(segments.len(), 2, "each life sealed what it had");
    let length = std::fs::metadata(&segments[0]).unwrap().len();
    std::fs::write(&segments[0], vec![0; usize::try_from(length).unwrap()]).unwrap();
    let weir = setup.start().await;
    let found = setup.run(&["query", "shop", "the"]);
    assert!(found.status.success(), "{found:?}");
    assert!(found.out.contains("the second") && !found.out.contains("the first"), "{found:?}");
    let note = "the answer is without events from";
    assert!(found.err.contains(note) && found.err.contains("segment 1 is damaged"), "{found:?}");
    let verified = setup.run(&["audit", "--verify"]);
    assert!(!verified.status.success(), "{verified:?}");
    assert!(weir.terminate().await.success());
}
