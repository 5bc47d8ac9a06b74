use weir_model::{Incarnation, Offset, PartitionIndex};

use super::*;

fn partition() -> StreamPartition {
    StreamPartition {
        stream: StreamName::new("shop_logs").expect("is legal"),
        incarnation: Incarnation(1),
        partition: PartitionIndex(0),
    }
}

/// A partition with 100 events in all, of which the store passed 60.
fn evidence() -> Evidence {
    Evidence {
        bounds: PartitionBounds {
            partition: partition(),
            start: Offset(0),
            end: Offset(10),
            start_event: Some(0),
            end_event: Some(100),
            bytes: Some(1_000),
        },
        store: Some(PartitionAudit {
            partition: partition(),
            next: Offset(6),
            durable: Offset(3),
            stored: 40,
            dropped: 5,
        }),
        passed: Some(60),
        dead: 15,
        expired: 8,
        lost: 2,
    }
}

#[track_caller]
fn check(evidence: &Evidence, expected: Verdict) {
    assert_eq!(Account::of(evidence).verdict(), expected);
}

#[test]
fn every_event_is_in_one_place() {
    let account = Account::of(&evidence());
    let expected = Account {
        accepted: Some(100),
        delivered: 45,
        dropped: 5,
        dead: 5,
        waiting: Some(40),
        expired: 8,
        lost: 2,
    };
    assert_eq!(account, expected);
    check(&evidence(), Verdict::Balanced);
}

#[test]
fn what_is_nowhere_is_missing() {
    check(&Evidence { dead: 12, ..evidence() }, Verdict::Missing(3));
    check(
        &Evidence { store: None, passed: Some(0), dead: 0, expired: 0, lost: 0, ..evidence() },
        Verdict::Balanced,
    );
    check(&Evidence { store: None, ..evidence() }, Verdict::Missing(45));
}

#[test]
fn what_nobody_accepted_is_surplus() {
    check(&Evidence { passed: Some(59), ..evidence() }, Verdict::Surplus(1));
}

#[test]
fn what_expired_is_missing_until_it_is_written_down() {
    let bounds = PartitionBounds { start: Offset(8), start_event: Some(80), ..evidence().bounds };
    check(&Evidence { bounds, passed: None, ..evidence() }, Verdict::Missing(20));
}

#[test]
fn partitions_do_not_make_up_for_each_other() {
    let missing = Account { accepted: Some(1), waiting: Some(0), ..Account::default() };
    let surplus = Account { accepted: Some(0), delivered: 1, waiting: Some(0), ..Account::default() };
    let other = StreamPartition { partition: PartitionIndex(1), ..partition() };
    let report = StreamReport {
        stream: partition().stream,
        partitions: [(partition(), missing), (other, surplus)].into(),
        foreign: BTreeMap::new(),
    };
    assert_eq!(report.total().verdict(), Verdict::Balanced);
    assert!(!report.is_balanced());
}
