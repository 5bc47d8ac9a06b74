//! The examples of `docs/agent.md`: what an input is said to make of a file, it makes.

use std::path::Path;

use serde_json::Value;
use weir_agent::{FilesSettings, InputSection, Preview};
use weir_foundation::settings::{Environment, Loaded, Sources, WrongAliases, load};
use weir_model::Timestamp;
use weir_wire::parse_rfc3339;

const PAGE: &str = include_str!("../../../../docs/agent.md");

/// 2026-11-29T00:00:00Z
const NOW: Timestamp = Timestamp::from_micros(1_795_910_400_000_000);

/// A block of the page, with what stands behind its three ticks.
struct Block<'p> {
    kind: &'p str,
    text: String,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let text = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n"));
            blocks.push(Block { kind, text: text.collect() });
        }
    }
    blocks
}

fn settings(yaml: &str) -> FilesSettings {
    let folder = tempfile::tempdir().expect("there is space");
    let file = folder.path().join("input.yaml");
    std::fs::write(&file, yaml).expect("there is space");
    let loaded: Loaded<InputSection> = load(Sources {
        presets: &[],
        implied: &[],
        file: Some(&file),
        environment: &Environment::default(),
        aliases: &[],
        wrong_aliases: WrongAliases::Refused,
        flags: &[],
    });
    let raw = loaded.finish().unwrap_or_else(|problems| unreachable!("{yaml}\n{problems}"));
    let raw = InputSection { app: Some("shop".into()), paths: vec!["/var/log/shop.log".into()], ..raw };
    let settings = FilesSettings::validate_all(&[raw]);
    settings.unwrap_or_else(|problems| unreachable!("{yaml}\n{problems}")).remove(0)
}

#[test]
fn the_examples_of_the_page_are_true() {
    let blocks = blocks(PAGE);
    let mut count = 0;
    for example in blocks.windows(3) {
        let [input, file, events] = example else { continue };
        let Some(path) =
            file.kind.strip_prefix("text").filter(|_| input.kind == "yaml" && events.kind == "json")
        else {
            continue;
        };
        count += 1;
        let path = if path.is_empty() { "/var/log/shop.log" } else { path.trim() };
        let preview =
            Preview::new(&settings(&input.text), "web-1", Path::new(path)).expect("the app has a name");
        let found = preview.read_all(file.text.as_bytes(), NOW);
        let expected: Vec<&str> = events.text.lines().collect();
        assert_eq!(found.len(), expected.len(), "{}\n{found:#?}", input.text);
        for (found, expected) in found.iter().zip(expected) {
            let (time, content) = expected.split_at(expected.find('{').expect("an object"));
            if !time.is_empty() {
                assert_eq!(Some(found.time), parse_rfc3339(time.trim().as_bytes()), "{expected}");
            }
            let mut event: Value = serde_json::from_str(&found.content).expect("it is JSON");
            let members = event.as_object_mut().expect("it is an object");
            assert_eq!(members.remove("host"), Some("web-1".into()));
            assert_eq!(members.remove("file"), Some(path.into()));
            let expected: Value = serde_json::from_str(content).expect("it is JSON");
            assert_eq!(event, expected, "{}", input.text);
        }
    }
    assert!(count >= 7, "{count} examples");
}
