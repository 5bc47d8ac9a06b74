//! Segments are plain Parquet: a reader that shares no code with weir gives back what was written.

use std::path::{Path, PathBuf};
use std::process::Command;

use weir_store::conformance::Subject;
use weir_store::conformance::fixture::{RECEIVED, Recording, at, partition, write};
use weir_store::conformance::json::Json;

use crate::segment::Segments;

/// Prints a JSON object for each row: the name of every column that is not null, with its value.
const SCRIPT: &str = r#"
import json, sys
import pyarrow.parquet as parquet
for path in sys.argv[1:]:
    for row in parquet.read_table(path).to_pylist():
        row["_time"] = row["_time"].isoformat()
        row["_received"] = row["_received"].isoformat()
        print(json.dumps({name: value for name, value in row.items() if value is not None}))
"#;

fn python() -> PathBuf {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/store is in the project");
    let python = root.join(".services/venv/bin/python");
    assert!(python.exists(), "{} is missing: run `scripts/pyarrow-venv`", python.display());
    python
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pyarrow_reads_what_weir_wrote() {
    let subject = Segments::new();
    let record = Recording::new("shop")
        .event(
            at(2),
            r#"{"message":"zwölf","n":2,"d":0.5,"ok":true,"none":null,"list":[1,"a"],"in":{"a.b":7}}"#,
        )
        .event(at(1), r#"{"message":"eins","n":1,"n":3}"#)
        .at_offset(4);
    write(&*subject.index(), &partition(3), vec![record]).await;
    subject.index().flush().await.expect("flushes");
    let indices = subject.index().indices().await.expect("answers");
    let files = indices.iter().flat_map(|index| &index.files);
    let output = Command::new(python()).arg("-c").arg(SCRIPT).args(files).output().expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Json> =
        String::from_utf8(output.stdout).expect("is UTF-8").lines().map(Json::parse).collect();
    let day = RECEIVED.to_string();
    let day = day.strip_suffix("00Z").expect("it is at a full minute");
    let head = |second: u32, index: u32| {
        format!(
            r#""_time":"{day}{second:02}+00:00","_received":"{day}00+00:00",
            "_source":"shop_logs-0000000000000001-3","_offset":4,"_index":{index}"#
        )
    };
    let expected = [
        format!(
            r#"{{{},"message:s":"eins","n:i":1,"_raw":"{{\"message\":\"eins\",\"n\":1,\"n\":3}}"}}"#,
            head(1, 1)
        ),
        format!(
            r#"{{{},"message:s":"zwölf","n:i":2,"d:f":0.5,"ok:b":true,"none:n":true,
            "list:j":"[1,\"a\"]","in.a\\.b:i":7}}"#,
            head(2, 0)
        ),
    ];
    let expected: Vec<Json> = expected.iter().map(|row| Json::parse(row)).collect();
    assert!(rows == expected, "pyarrow reads {rows:?}");
}
