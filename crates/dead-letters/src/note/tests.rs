use proptest::prelude::*;
use weir_model::{Incarnation, Offset, PartitionIndex, Position, StreamName, StreamPartition};

use super::*;

fn dead(original: Vec<u8>) -> DeadLetter {
    let partition = StreamPartition {
        stream: StreamName::new("shop_logs").expect("is legal"),
        incarnation: Incarnation(0x1f),
        partition: PartitionIndex(3),
    };
    DeadLetter {
        position: Position { partition, offset: Offset(42), index: 7 },
        events: 1,
        received: Timestamp::from_micros(1_700_000_000_000_000),
        died: Timestamp::from_micros(1_700_000_001_000_000),
        prefix: Some(IndexPrefix::new("shop").expect("is legal")),
        format: RecordFormat::Timber,
        reason: DeadReason { code: "rejected".to_owned(), message: "a \"reason\"\n".to_owned() },
        original: original.into(),
    }
}

fn read(texts: &[String]) -> Vec<Note> {
    let mut reader = Reader::default();
    texts.iter().filter_map(|text| reader.read(text).expect("is a note")).collect()
}

#[test]
fn notes_have_this_form() {
    let golden = r#"{"dead_letter":{"id":"shop_logs-000000000000001f-3-42.7","part":0,"parts":1,"events":1,"received":1700000000000000,"died":1700000001000000,"prefix":"shop","format":"Timber","code":"rejected","message":"a \"reason\"\n","original":"AP+A"}}"#;
    assert_eq!(letter(&dead(vec![0, 0xff, 0x80])), [golden]);
    let id = EventId(dead(vec![]).position);
    assert_eq!(purged(std::slice::from_ref(&id)), r#"{"purged":["shop_logs-000000000000001f-3-42.7"]}"#);
    assert_eq!(read(&[purged(std::slice::from_ref(&id))]), [Note::Purged(vec![id])]);
}

#[test]
fn a_large_letter_comes_in_parts() {
    let large = dead((0..PART * 2 + 1).map(|at| (at % 251) as u8).collect());
    let parts = letter(&large);
    assert_eq!(parts.len(), 3);
    assert!(parts.iter().all(|part| part.len() < 1_000_000), "each fits a record");
    assert_eq!(read(&parts), [Note::Letter(Box::new(large.clone()))]);
    // A process died in the middle and another wrote it again.
    let again = [&parts[..2], &parts[..]].concat();
    assert_eq!(read(&again), [Note::Letter(Box::new(large.clone()))]);
    assert_eq!(read(&parts[1..]), [], "the rest of a letter is none");
    assert_eq!(read(&[parts[0].clone(), parts[2].clone()]), [], "nor is one with a hole");
    assert_eq!(read(&letter(&dead(vec![]))), [Note::Letter(Box::new(dead(vec![])))]);
}

#[test]
fn letters_that_nobody_finishes_are_forgotten() {
    let mut reader = Reader::default();
    for offset in 0..1000 {
        let mut unfinished = dead(vec![1]);
        unfinished.position.offset = Offset(offset);
        let first = letter(&unfinished)[0].replace(r#""parts":1"#, r#""parts":2"#);
        assert_eq!(reader.read(&first).expect("is a note"), None);
    }
    assert_eq!(reader.unfinished.len(), UNFINISHED);
}

#[test]
fn other_texts_are_refused_by_name() {
    let check = |text: &str, expected: &str| {
        let error = Reader::default().read(text).expect_err("is no note");
        assert_eq!(error.to_string(), expected, "{text}");
    };
    check("", "it is no note about dead letters");
    check(r#"{"message":"a line"}"#, "it is no note about dead letters");
    check(r#"{"purged":["x"]}"#, "`purged` of a dead letter is wrong");
    let [good] = &letter(&dead(vec![1]))[..] else { panic!("one part") };
    check(&good.replace("Timber", "Wood"), "`format` of a dead letter is wrong");
    check(&good.replace("AQ==", "?"), "`original` of a dead letter is wrong");
    check(&good.replace("-42.7", "-42"), "`id` of a dead letter is wrong");
}

proptest! {
    #[test]
    fn what_is_written_is_read(original in proptest::collection::vec(any::<u8>(), 0..200), message in ".*", events: u32) {
        let dead = DeadLetter {
            events,
            prefix: None,
            reason: DeadReason { code: "c".to_owned(), message },
            ..dead(original)
        };
        prop_assert_eq!(read(&letter(&dead)), [Note::Letter(Box::new(dead))]);
    }

    #[test]
    fn no_text_is_a_panic(text in ".*") {
        let mut reader = Reader::default();
        drop(reader.read(&text));
    }
}
