use proptest::prelude::*;
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use super::*;
use crate::proto::producer::{Timber, TimberCollection, TimberContext};
use crate::{decode_record, scan_collection, scan_timber};

const NOW: &str = "2025-09-03T00:11:52Z";

fn shape(layout: Layout) -> Shape {
    let now = crate::parse_rfc3339(b"2025-09-03T00:11:52.987654Z").expect("a time");
    Shape { layout, times: Times::Overwrite, secrets: KeptSecrets::All, now, limit: 1_000_000 }
}

fn context() -> TimberContext {
    TimberContext {
        kafka_topic: "shop".to_owned(),
        kafka_partition: 50,
        kafka_replication_factor: 3,
        es_index_prefix: "shop".to_owned(),
        es_document_type: "barito".to_owned(),
        app_max_tps: 100,
        app_secret: "secret".to_owned(),
        ..TimberContext::default()
    }
}

fn item(text: &str) -> Timber {
    let value = Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let fields = [("@message".to_owned(), value)].into();
    Timber {
        context: Some(TimberContext::default()),
        timestamp: String::new(),
        content: Some(Struct { fields }),
    }
}

fn collection(texts: &[&str]) -> TimberCollection {
    TimberCollection { context: Some(context()), items: texts.iter().map(|text| item(text)).collect() }
}

fn shaped(batch: &TimberCollection, shape: &Shape) -> Result<Vec<Shaped>, ItemTooLarge> {
    scan_collection(&batch.encode_to_vec()).expect("whole").shape(shape)
}

/// What barito-flow does with a batch, as a Timber each.
fn timbers_of(batch: &TimberCollection) -> Vec<Vec<u8>> {
    let stamped = batch.items.iter().map(|item| Timber {
        context: batch.context.clone(),
        timestamp: NOW.to_owned(),
        content: item.content.clone(),
    });
    stamped.map(|timber| timber.encode_to_vec()).collect()
}

#[test]
fn a_timber_is_barito_flows() {
    let batch = collection(&["a", "b"]);
    let records = shaped(&batch, &shape(Layout::Timber)).expect("it fits");
    let values: Vec<_> = records.iter().map(|record| record.value.to_vec()).collect();
    assert_eq!(values, timbers_of(&batch));
    assert!(records.iter().all(|record| (record.format, record.events) == (RecordFormat::Timber, 1)));
    // Field by field: context, time, content.
    let golden = b"\x0a\x25\x0a\x04shop\x10\x32\x18\x03\x22\x04shop\x2a\x06barito\x30\x64\x3a\x06secret\
        \x12\x142025-09-03T00:11:52Z\x1a\x11\x0a\x0f\x0a\x08@message\x12\x03\x1a\x01a";
    let mut golden = golden.to_vec();
    golden[1] = u8::try_from(context().encoded_len()).expect("it is short");
    assert_eq!(values[0], golden);
}

#[test]
fn a_collection_is_barito_flows() {
    let mut batch = collection(&["a", "b"]);
    let records = shaped(&batch, &shape(Layout::Collection)).expect("it fits");
    batch.items.iter_mut().for_each(|item| item.timestamp = NOW.to_owned());
    let value = batch.encode_to_vec().into();
    assert_eq!(records, [Shaped { format: RecordFormat::TimberCollection, events: 2, value }]);
}

#[test]
fn a_single_timber_is_wrapped_with_its_context_twice() {
    let timber = Timber { context: Some(context()), timestamp: "yesterday".to_owned(), ..item("a") };
    let bytes = timber.encode_to_vec();
    let scanned = scan_timber(&bytes).expect("whole");
    let stamped = Timber { timestamp: NOW.to_owned(), ..timber.clone() };
    let records = scanned.shape(&shape(Layout::Timber)).expect("it fits");
    assert_eq!(records[0].value, stamped.encode_to_vec());
    let records = scanned.shape(&shape(Layout::Collection)).expect("it fits");
    let wrapped = TimberCollection { context: Some(context()), items: vec![stamped] };
    assert_eq!(records[0].value, wrapped.encode_to_vec());
}

#[test]
fn times_that_are_there_may_stay() {
    let mut batch = collection(&["a", "b"]);
    batch.items[0].timestamp = "2020-01-01T00:00:00.5+07:00".to_owned();
    let fill_in = Shape { times: Times::FillIn, ..shape(Layout::Collection) };
    let records = shaped(&batch, &fill_in).expect("it fits");
    batch.items[1].timestamp = NOW.to_owned();
    assert_eq!(records[0].value, batch.encode_to_vec());
}

#[test]
fn a_secret_goes_wherever_it_is() {
    let mut batch = collection(&["a"]);
    batch.items[0].context = Some(context());
    let without = Shape { secrets: KeptSecrets::None, ..shape(Layout::Collection) };
    let records = shaped(&batch, &without).expect("it fits");
    batch.context.as_mut().expect("it is there").app_secret.clear();
    batch.items[0].context.as_mut().expect("it is there").app_secret.clear();
    batch.items[0].timestamp = NOW.to_owned();
    assert_eq!(records[0].value, batch.encode_to_vec());
}

#[test]
fn what_is_not_there_does_not_come() {
    let batch = TimberCollection { context: None, items: vec![Timber::default()] };
    let stamped = Timber { timestamp: NOW.to_owned(), ..Timber::default() };
    let records = shaped(&batch, &shape(Layout::Timber)).expect("it fits");
    assert_eq!(records[0].value, stamped.encode_to_vec());
    assert!(shaped(&TimberCollection::default(), &shape(Layout::Collection)).expect("nothing").is_empty());
    assert!(shaped(&TimberCollection::default(), &shape(Layout::Timber)).expect("nothing").is_empty());
}

#[test]
fn parts_and_unknown_fields_are_put_in_order() {
    // An unknown field, the context in two parts, an item whose time comes behind its content and twice.
    let bytes = b"\x78\x01\x0a\x03\x0a\x01a\x12\x0e\x1a\x02\x0a\x00\x12\x01x\x12\x01y\x78\x02\x0a\x00\x0a\x02\x10\x02";
    let records = scan_collection(bytes).expect("whole").shape(&shape(Layout::Collection)).expect("it fits");
    let mut expected = b"\x0a\x05\x0a\x01a\x10\x02\x12\x1e\x0a\x00\x12\x14".to_vec();
    expected.extend_from_slice(NOW.as_bytes());
    expected.extend_from_slice(b"\x1a\x02\x0a\x00\x78\x02\x78\x01");
    assert_eq!(records[0].value, expected);
}

#[test]
fn an_item_that_fits_nowhere_is_named() {
    let batch = collection(&["a", &"x".repeat(300), "b"]);
    for layout in [Layout::Collection, Layout::Timber] {
        let small = Shape { limit: 200, ..shape(layout) };
        let error = shaped(&batch, &small).expect_err("one is too large");
        assert_eq!((error.index, error.limit), (1, 200));
        let exact = Shape { limit: error.size, ..small };
        assert!(shaped(&batch, &exact).is_ok(), "{layout:?}");
        let less = Shape { limit: error.size - 1, ..small };
        assert!(shaped(&batch, &less).is_err(), "{layout:?}");
    }
}

#[test]
fn records_of_weirs_own_format_are_cut() {
    let prefix = weir_model::IndexPrefix::new("shop").expect("is legal");
    let mut builder = crate::EventsBuilder::new(&prefix);
    (0..10).for_each(|n| builder.push_json(&format!(r#"{{"n":{n}}}"#), None));
    let (value, events) = builder.finish();
    let whole = shape_events(&value, events, value.len()).expect("it fits");
    assert_eq!(whole, [Shaped { format: RecordFormat::Events, events: 10, value: value.clone() }]);
    let parts = shape_events(&value, events, 40).expect("each fits");
    assert!(parts.len() > 2 && parts.iter().all(|part| part.value.len() <= 40));
    let count =
        |part: &Shaped| decode_record(part.format, &part.value, Timestamp::default()).map(|b| b.len());
    let counts: Vec<_> = parts.iter().map(|part| count(part).expect("it is whole")).collect();
    assert_eq!(counts.iter().sum::<usize>(), 10);
    assert_eq!(shape_events(&value, events, 10).map_err(|error| error.index), Err(0));
}

proptest! {
    #[test]
    fn a_batch_that_is_cut_holds_the_same_events(
        texts in prop::collection::vec("[a-z]{0,80}", 0..40),
        limit in 200_usize..2_000,
    ) {
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let batch = collection(&texts);
        let records = shaped(&batch, &Shape { limit, ..shape(Layout::Collection) }).expect("each fits");
        prop_assert!(records.iter().all(|record| record.value.len() <= limit));
        let mut items = Vec::new();
        for record in &records {
            let part = TimberCollection::decode(&record.value[..]).expect("it is whole");
            prop_assert_eq!(part.items.len(), record.events as usize);
            prop_assert_eq!(part.context.as_ref(), batch.context.as_ref());
            items.extend(part.items);
        }
        let stamped = batch.items.iter().map(|item| Timber { timestamp: NOW.to_owned(), ..item.clone() });
        prop_assert_eq!(items, stamped.collect::<Vec<_>>());
        // Cut again at another time, the cuts are in the same places.
        let later = Timestamp::from_micros(1_900_000_000_000_000);
        let again = shaped(&batch, &Shape { limit, now: later, ..shape(Layout::Collection) }).expect("as before");
        prop_assert_eq!(again.iter().map(|r| r.events).collect::<Vec<_>>(), records.iter().map(|r| r.events).collect::<Vec<_>>());
        let timbers = shaped(&batch, &shape(Layout::Timber)).expect("each fits");
        prop_assert_eq!(timbers.iter().map(|r| r.value.to_vec()).collect::<Vec<_>>(), timbers_of(&batch));
    }

    #[test]
    fn whatever_passed_the_scan_can_be_shaped(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        for scanned in [scan_timber(&bytes), scan_collection(&bytes)].into_iter().flatten() {
            for layout in [Layout::Timber, Layout::Collection] {
                let Ok(records) = scanned.shape(&shape(layout)) else { continue };
                let events: u32 = records.iter().map(|record| record.events).sum();
                prop_assert_eq!(events, scanned.items());
            }
        }
    }
}
