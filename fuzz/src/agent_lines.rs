//! Files that an agent reads: whatever is in them and however they grow, the same bytes are the same events, and all of
//! them are events.

use std::path::Path;

use weir_agent::{Behind, FilesSettings, InputSection, Preview, PreviewEvent};
use weir_model::Timestamp;

/// The first byte says by which settings; the second how far the file has grown when it is read for the first time, and how
/// much it grows each time after.
pub fn run(data: &[u8]) {
    let [which, growth, bytes @ ..] = data else { return };
    let settings = SETTINGS[usize::from(*which) % SETTINGS.len()];
    let raw: InputSection = serde_json::from_str(settings).expect("they are written below");
    let raw = InputSection { app: Some("shop".into()), paths: vec!["/a".into()], ..raw };
    let settings = FilesSettings::validate_all(&[raw]).expect("they are good");
    let path = Path::new("/var/log/pods/shop_web-0_17/app/0.log");
    let preview = Preview::new(&settings[0], "web-1", path).expect("the app has a name");
    let whole = preview.read_all(bytes, NOW);
    let (mut events, mut at, mut length) = (Vec::new(), 0, 0);
    while length < bytes.len() {
        length = (length + 1 + usize::from(*growth)).min(bytes.len());
        read(&preview, &bytes[..length], &mut at, Behind::More, &mut events);
    }
    read(&preview, bytes, &mut at, Behind::Nothing, &mut events);
    assert_eq!(at, bytes.len());
    assert_eq!(events, whole);
}

fn read(preview: &Preview, bytes: &[u8], at: &mut usize, behind: Behind, events: &mut Vec<PreviewEvent>) {
    while let Some((more, used)) = preview.read(&bytes[*at..], *at as u64, behind, NOW) {
        assert!(used > 0);
        events.extend(more);
        *at += used;
    }
}

/// 2026-11-29T00:00:00Z
const NOW: Timestamp = Timestamp::from_micros(1_795_910_400_000_000);

const SETTINGS: [&str; 10] = [
    "{}",
    r#"{"format": "cri"}"#,
    r#"{"format": "docker"}"#,
    r#"{"encoding": "utf-16le"}"#,
    r#"{"encoding": "shift_jis", "max_line": "1KiB"}"#,
    r#"{"multiline": {"presets": ["java", "go", "python"]}}"#,
    r#"{"multiline": {"start": "^[0-9]"}, "parser": {"kind": "logfmt"}}"#,
    r#"{"multiline": {"continue": "^\\s"}, "parser": {"kind": "json"}}"#,
    r#"{"format": "cri", "multiline": {"presets": ["java", "go", "python"]}, "parser": {"kind": "logfmt", "time": {"field": "t", "format": "%d/%b/%Y:%H:%M:%S %z"}}}"#,
    r#"{"parser": {"kind": "regex", "pattern": "(?P<a>\\w+) (?P<b>.*)"}, "sample": {"one_in": 2, "unless": [{"field": "b", "above": 1}]}, "fields": {"rename": {"a": "b"}}}"#,
];
