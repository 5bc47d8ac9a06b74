//! Days, retention, audit.

use weir_model::{Day, Offset, Timestamp};

use super::Subject;
use super::fixture::{
    RECEIVED, Recording, at, hits, numbered, numbers, numbers_in, partition, partition_of, prefix, write,
};
use crate::seam::{IndexStore, PartitionAudit, PositionRun, WriteRecord};

const DAY: i64 = 86_400;

/// An index is the events of one prefix whose time is on one day of UTC.
pub async fn indices_are_days_of_prefixes(subject: &mut dyn Subject) {
    let store = subject.index();
    let shop = Recording::new("shop")
        .event(at(0), r#"{"a":1}"#)
        .event(at(-DAY), r#"{"a":1}"#)
        .event(at(DAY / 2 - 1), r#"{"a":1}"#)
        .event(at(DAY / 2), r#"{"a":1}"#);
    let cafe = Recording::new("cafe").event(at(0), r#"{"a":1}"#);
    write(&*store, &partition(0), vec![shop.at_offset(0), cafe.at_offset(1)]).await;
    let expected =
        [("cafe-2026.11.21", 1), ("shop-2026.11.20", 1), ("shop-2026.11.21", 2), ("shop-2026.11.22", 1)];
    check_indices(&*store, &expected).await;
    store.flush().await.expect("flushes");
    check_indices(&*store, &expected).await;
    subject.reopen().await;
    check_indices(&*subject.index(), &expected).await;
    let indices = subject.index().indices().await.expect("answers");
    assert!(indices.iter().all(|index| index.files.iter().all(|file| file.is_absolute())));
}

/// A time more than a year before or a day after its receipt is kept, and filed under the day of receipt.
pub async fn odd_times_are_filed_by_receipt(subject: &mut dyn Subject) {
    let store = subject.index();
    let record = Recording::new("shop")
        .event(Timestamp::from_micros(-62_167_219_200_000_000), r#"{"n":0}"#)
        .event(Timestamp::from_micros(253_402_300_799_999_999), r#"{"n":1}"#)
        .event(at(-365 * DAY - 1), r#"{"n":2}"#)
        .event(at(-365 * DAY), r#"{"n":3}"#)
        .event(at(DAY), r#"{"n":4}"#)
        .event(at(DAY + 1), r#"{"n":5}"#);
    write(&*store, &partition(0), vec![record.at_offset(0)]).await;
    let expected = [("shop-2025.11.21", 1), ("shop-2026.11.21", 4), ("shop-2026.11.22", 1)];
    check_indices(&*store, &expected).await;
    store.flush().await.expect("flushes");
    check_indices(&*store, &expected).await;
    assert_eq!(numbers_in(&hits(&*store, "*").await), [1, 5, 4, 3, 2, 0], "times are kept");
}

/// What lies wholly before a day goes, of one prefix or of all, and is not taken again.
pub async fn dropped_days_are_gone(subject: &mut dyn Subject) {
    let store = subject.index();
    let today = RECEIVED.day();
    let yesterday = Day::from_number(today.number() - 1);
    write_two_days(&*store).await;
    assert_eq!(store.drop_before(Some(&prefix("nobody")), today).await.expect("drops"), 0);
    assert_eq!(store.drop_before(None, yesterday).await.expect("drops"), 0);
    assert_eq!(store.drop_before(Some(&prefix("shop")), today).await.expect("drops"), 2);
    assert_eq!(numbers(&*store, "shop", "*").await, [3]);
    assert_eq!(numbers(&*store, "cafe", "*").await, [4, 1]);
    write(&*store, &partition(0), old_records()).await;
    assert_eq!(numbers(&*store, "shop", "*").await, [3], "what was dropped is not taken again");
    assert_eq!(store.drop_before(None, today).await.expect("drops"), 1);
    assert_eq!(store.drop_before(None, today).await.expect("drops"), 0);
    for _ in ["at once", "after a restart"] {
        assert_eq!(numbers(&*subject.index(), "cafe", "*").await, [4]);
        subject.reopen().await;
    }
}

/// What retention removed stays in the accounts.
pub async fn dropped_days_are_counted(subject: &mut dyn Subject) {
    write_two_days(&*subject.index()).await;
    assert_eq!(subject.index().drop_before(None, RECEIVED.day()).await.expect("drops"), 3);
    for _ in ["at once", "after a restart"] {
        let store = subject.index();
        let expected = PartitionAudit {
            partition: partition(0),
            next: Offset(5),
            durable: Offset(5),
            stored: 2,
            dropped: 3,
        };
        let inventory = store.inventory().expect("keeps positions");
        assert_eq!(inventory.audit(&partition(0).stream).await.expect("audits"), [expected]);
        subject.reopen().await;
    }
}

/// Yesterday's records of two prefixes, of which `shop` has two.
fn old_records() -> Vec<WriteRecord> {
    let yesterday = Day::from_number(RECEIVED.day().number() - 1);
    vec![on_day("shop", 0, yesterday), on_day("cafe", 1, yesterday), on_day("shop", 2, yesterday)]
}

fn on_day(of: &str, n: u64, day: Day) -> WriteRecord {
    let time = Timestamp::from_micros(day.start().micros() + i64::try_from(n).expect("is small"));
    Recording::new(of).event(time, &format!(r#"{{"n":{n}}}"#)).at_offset(n)
}

async fn write_two_days(store: &dyn IndexStore) {
    let today = RECEIVED.day();
    write(store, &partition(0), old_records()).await;
    store.flush().await.expect("flushes");
    write(store, &partition(0), vec![on_day("shop", 3, today), on_day("cafe", 4, today)]).await;
    store.flush().await.expect("flushes");
}

/// Of positions that are asked for, those with an event are answered, in the order in which they were asked for.
pub async fn what_it_holds_is_answered(subject: &mut dyn Subject) {
    let run = |offset, first_index, count| PositionRun { offset: Offset(offset), first_index, count };
    let store = subject.index();
    let mixed = Recording::new("shop").event(at(1), r#"{"n":0}"#).fault().event(at(3), r#"{"n":2}"#);
    write(&*store, &partition(0), vec![mixed.at_offset(0), numbered("cafe", 1)]).await;
    write(&*store, &partition(0), vec![Recording::new("shop").fault().at_offset(2), numbered("shop", 3)])
        .await;
    for _ in ["in memory", "durable"] {
        let check = async |of: u32, wanted: &[PositionRun], expected: &[PositionRun]| {
            let found = store.holds(&partition(of), wanted).await.expect("answers");
            assert_eq!(found, expected, "{wanted:?}");
        };
        check(0, &[], &[]).await;
        check(0, &[run(0, 0, 3)], &[run(0, 0, 1), run(0, 2, 1)]).await;
        check(0, &[run(3, 0, 4), run(2, 0, 1), run(1, 0, 1)], &[run(3, 0, 1), run(1, 0, 1)]).await;
        check(0, &[run(9, 0, 1)], &[]).await;
        check(1, &[run(0, 0, 3)], &[]).await;
        store.flush().await.expect("flushes");
    }
}

/// A run is consecutive events of one record; faults and other prefixes do not matter.
pub async fn positions_are_runs(subject: &mut dyn Subject) {
    let store = subject.index();
    let inventory = store.inventory().expect("keeps positions");
    // An `e` is an event, an `f` one with a fault.
    let record = |of: &str, offset: u64, events: &str| {
        let add = |recording: Recording, kind| match kind {
            'e' => recording.event(at(0), r#"{"a":1}"#),
            _ => recording.fault(),
        };
        events.chars().fold(Recording::new(of), add).at_offset(offset)
    };
    let records = vec![
        record("shop", 0, "ee"),
        record("cafe", 1, "e"),
        record("shop", 2, "eefee"),
        record("shop", 3, "f"),
        record("cafe", 4, "fefee"),
    ];
    write(&*store, &partition(0), records).await;
    write(&*store, &partition(1), vec![record("shop", 0, "e")]).await;
    let run = |offset, first_index, count| PositionRun { offset: Offset(offset), first_index, count };
    let expected = [run(0, 0, 2), run(1, 0, 1), run(2, 0, 2), run(2, 3, 2), run(4, 1, 1), run(4, 3, 2)];
    for _ in ["in memory", "durable"] {
        let all = inventory.positions(&partition(0), Offset::ZERO).await.expect("answers");
        assert_eq!(all, expected);
        let rest = inventory.positions(&partition(0), Offset(2)).await.expect("answers");
        assert_eq!(rest, expected[2..]);
        assert_eq!(inventory.positions(&partition(0), Offset(5)).await.expect("answers"), []);
        assert_eq!(inventory.positions(&partition(1), Offset::ZERO).await.expect("answers"), [run(0, 0, 1)]);
        store.flush().await.expect("flushes");
    }
}

/// Rows by partition of one stream, those in memory included.
pub async fn an_audit_counts_rows(subject: &mut dyn Subject) {
    let store = subject.index();
    let inventory = store.inventory().expect("keeps positions");
    let partitions = [partition(0), partition(7), partition_of("shop_logs", 2, 0)];
    for (place, count) in partitions.iter().zip(1..) {
        write(&*store, place, (0..count).map(|n| numbered("shop", n)).collect()).await;
    }
    write(&*store, &partition_of("cafe_logs", 1, 0), vec![numbered("shop", 0)]).await;
    store.flush().await.expect("flushes");
    write(&*store, &partition(7), vec![numbered("shop", 2), numbered("cafe", 3)]).await;
    let mut audits = inventory.audit(&partition(0).stream).await.expect("audits");
    audits.sort_by(|a, b| a.partition.cmp(&b.partition));
    let found: Vec<_> =
        audits.iter().map(|audit| (&audit.partition, audit.next.0, audit.stored, audit.dropped)).collect();
    let expected = [(&partitions[0], 1, 1, 0), (&partitions[1], 4, 4, 0), (&partitions[2], 3, 3, 0)];
    assert_eq!(found, expected);
    assert!(audits.iter().all(|audit| audit.durable <= audit.next && audit.durable >= Offset(1)));
}

async fn check_indices(store: &dyn IndexStore, expected: &[(&str, u64)]) {
    let indices = store.indices().await.expect("answers");
    let found: Vec<_> = indices.iter().map(|index| (index.name(), index.events)).collect();
    let expected: Vec<_> = expected.iter().map(|(name, events)| ((*name).to_owned(), *events)).collect();
    assert_eq!(found, expected);
}
