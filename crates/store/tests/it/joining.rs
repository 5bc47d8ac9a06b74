//! Joining: so many large segments of one day that their row groups are copied into one file.

use std::fs::File;
use std::time::Duration;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use weir_model::{EventId, Offset, Timestamp};
use weir_store::conformance::fixture::{Recording, at, id, partition, request, search, write};
use weir_store::conformance::json::Json;
use weir_store::query::TimeRange;
use weir_store::segment::{SegmentStore, StoreSection};
use weir_store::{
    IndexStore as _, Interval, Inventory as _, PositionRun, SearchRequest, SearchResponse, SearchStats,
    TopRequest,
};

use crate::segment::{eventually, files_of, start_with};

/// Large segments of one day and one level that are joined.
const SEGMENTS: u32 = 16;
/// A segment with fewer rows may be small.
const ROWS: u32 = 32_768;
/// Rows of a record.
const RECORD: u32 = 4_096;
/// Rows that follow each other in time, of all segments.
const SLICE: u32 = 32_000;

/// When a row is, in milliseconds: rows of all segments follow each other in turn.
fn place(segment: u32, row: u32) -> u32 {
    row * SEGMENTS + segment
}

fn time(place: u32) -> Timestamp {
    Timestamp::from_micros(at(0).micros() + i64::from(place) * 1_000)
}

/// What a row holds; segments have fields that others do not have, and texts of a few values that others
/// have not.
fn content(segment: u32, row: u32) -> String {
    let text = if segment == 3 { row % 7 } else { row };
    let mut content = format!(r#"{{"n":{},"text":"word{text} of s{segment}""#, place(segment, row));
    if segment.is_multiple_of(2) {
        content.push_str(&format!(r#","even":{{"half":{}.5,"is":{}}}"#, row, row.is_multiple_of(3)));
    }
    if segment == 5 && row.is_multiple_of(1_000) {
        content.push_str(r#","list":[1,{"in":"a list"}],"twice":1,"twice":2"#);
    }
    content.push('}');
    content
}

async fn write_segment(store: &SegmentStore, segment: u32) {
    let records = (0..ROWS).step_by(RECORD as usize).map(|first| {
        let rows = first..first + RECORD;
        let event = |record: Recording, row| record.event(time(place(segment, row)), &content(segment, row));
        rows.fold(Recording::new("shop"), event).at_offset(u64::from((segment * ROWS + first) / RECORD))
    });
    write(store, &partition(0), records.collect()).await;
}

/// What is asked before and after.
async fn answers(store: &SegmentStore) -> Vec<SearchResponse> {
    let minute = Interval::new(Duration::from_secs(60)).expect("is legal");
    let queries =
        ["word77", r#""word77 of s9""#, "n:<100", "even.half:>=32000", "twice:2", "-even.is:* s15", "list:*"];
    let mut answers = Vec::new();
    for query in queries {
        let asked = SearchRequest {
            limit: 50,
            histogram: Some(minute),
            top: Some(TopRequest { field: "text".to_owned(), limit: 5 }),
            ..request("shop", query)
        };
        let mut found = search(store, asked).await;
        assert!(found.total > Some(0), "`{query}` finds nothing");
        // How it was found is another matter.
        found.stats = SearchStats::default();
        answers.push(found);
    }
    answers
}

/// Every row is there, in order of time, as it was written.
async fn check_rows(store: &SegmentStore) {
    for from in (0..SEGMENTS * ROWS).step_by(SLICE as usize) {
        let places = from..(from + SLICE).min(SEGMENTS * ROWS);
        let range = TimeRange { from: Some(time(places.start)), to: Some(time(places.end)) };
        let limit = SLICE as usize + 1;
        let found = search(store, SearchRequest { range, limit, ..request("shop", "*") }).await;
        assert_eq!((found.hits.len(), found.unreadable.len()), (places.len(), 0));
        for (hit, place) in found.hits.iter().zip(places.rev()) {
            let (segment, row) = (place % SEGMENTS, place / SEGMENTS);
            assert_eq!((hit.time, &hit.id), (time(place), &id_of(segment, row)));
            let expected = content(segment, row);
            assert!(Json::parse(&hit.content) == Json::parse(&expected), "{} for {expected}", hit.content);
        }
    }
}

fn id_of(segment: u32, row: u32) -> EventId {
    let record = (segment * ROWS + row) / RECORD;
    id(&partition(0), u64::from(record), row % RECORD)
}

/// Every position is there once.
async fn check_positions(store: &SegmentStore) {
    let found = store.positions(&partition(0), Offset(0)).await.expect("answers");
    let records = u64::from(SEGMENTS * ROWS / RECORD);
    let expected: Vec<_> =
        (0..records).map(|n| PositionRun { offset: Offset(n), first_index: 0, count: RECORD }).collect();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_segments_of_a_day_become_one_with_the_same_rows() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let section = StoreSection {
        seal_after: "1h".parse().ok(),
        search_cache: "16KiB".parse().ok(),
        ..StoreSection::default()
    };
    let open = || start_with(directory.path(), &section).expect("nobody has the directory");
    let files = || files_of(directory.path(), "shop", "parquet");
    let (store, supervisor) = open();
    for segment in 0..SEGMENTS {
        store.flush().await.expect("flushes");
        write_segment(&store, segment).await;
    }
    let before = answers(&store).await;
    assert_eq!((files().len(), store.stats().merged), (15, 0), "they are large, and one too few");
    store.flush().await.expect("flushes");
    eventually("they are joined", || store.stats().merged > 0).await;
    let stats = store.stats();
    assert_eq!((stats.sealed, stats.merged, stats.merged_rows), (16, 1, u64::from(SEGMENTS * ROWS)));
    eventually("the others are gone", || files().len() == 1).await;
    let footer =
        SerializedFileReader::new(File::open(&files()[0]).expect("it is there")).expect("it has one");
    assert_eq!(footer.num_row_groups(), SEGMENTS as usize, "they are copied as they were");
    assert!(answers(&store).await == before);
    check_positions(&store).await;
    check_rows(&store).await;
    supervisor.run_until(async {}).await;
    drop(store);
    let (store, supervisor) = open();
    assert!(answers(&store).await == before, "after a restart");
    check_positions(&store).await;
    supervisor.run_until(async {}).await;
}
