use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::TARGETS;

fn paths(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(folder).expect("the folder is there");
    entries.map(|entry| entry.expect("is readable").path()).collect()
}

fn names(folder: &str) -> BTreeSet<String> {
    let stem = |path: &PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    paths(folder).iter().filter_map(stem).collect()
}

#[test]
fn the_corpus_finds_nothing() {
    for (name, run) in TARGETS {
        for path in paths(&format!("corpus/{name}")) {
            println!("{}", path.display());
            run(&fs::read(&path).expect("is readable"));
        }
    }
}

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("src/bin"), targets);
    assert!(targets.iter().all(|name| !paths(&format!("corpus/{name}")).is_empty()));
}
