use std::time::Duration;

use weir_wire::EventsBuilder;

use super::*;

/// Each record has ten events.
fn point(offset: u64) -> Point {
    Point { offset, event: offset * 10 }
}

fn line(stored: u64) -> Line {
    Line::new(Course::new([7; 16], stored), stored * 10, 100)
}

fn cargo(from: u64, to: u64) -> Cargo {
    let prefix = Parcel::prefix("shop").expect("legal");
    let mut events = EventsBuilder::new(&prefix);
    events.push_line(&format!("{from}..{to}"), None);
    Cargo {
        parcel: Parcel::pack("shop", None, events).expect("memory takes it"),
        app: "shop".to_owned(),
        raw: usize::try_from((to - from) * 100).expect("small"),
        received: Timestamp::default(),
        ends: (from + 1..=to).map(point).collect(),
    }
}

/// Loads what is to be read next, up to these ends.
fn load<const N: usize>(line: &mut Line, ends: [u64; N]) {
    for end in ends {
        let unread = line.unread().expect("there is room");
        line.is_loaded(unread.from, cargo(unread.from.offset, end));
    }
}

/// Start, end and events of everything that departs.
fn departs(line: &mut Line) -> Vec<Place> {
    std::iter::from_fn(|| line.depart()).map(|parcel| parcel.place().expect("it is from a line")).collect()
}

#[track_caller]
fn check(places: &[Place], expected: &[(u64, u64)]) {
    let found: Vec<_> = places.iter().map(|place| (place.start, place.end)).collect();
    assert_eq!(found, expected);
}

fn stored(mark: u64) -> Verdict {
    Verdict::Stored { mark }
}

fn again() -> Verdict {
    Verdict::Again { delay: Duration::ZERO, code: "x".into(), message: "y".into() }
}

#[test]
fn four_are_in_memory_and_the_rest_waits() {
    let mut line = line(0);
    load(&mut line, [3, 5, 9, 10]);
    assert_eq!((line.unread(), line.cursor(), line.passed()), (None, point(10), 0));
    let places = departs(&mut line);
    check(&places, &[(0, 3), (3, 5), (5, 9), (9, 10)]);
    assert!(line.bytes() > 0);
    assert_eq!(
        line.arrived(places[0], stored(3)),
        Heard { effect: Effect::Advanced, sent: 30, is_foreign: false }
    );
    assert_eq!((line.unread(), line.passed()), (Some(Unread { from: point(10), to: None }), 3));
    for (place, sent) in [(places[1], 20), (places[2], 40), (places[3], 10)] {
        assert_eq!(line.arrived(place, stored(place.end)).sent, sent);
    }
    assert_eq!((line.passed(), line.bytes(), departs(&mut line).len()), (10, 0, 0));
}

/// What is sent again is the same parcel, so that it is known again.
#[test]
fn what_was_not_stored_is_sent_again_as_it_was() {
    let mut line = line(0);
    load(&mut line, [3, 5]);
    let places = departs(&mut line);
    assert_eq!(line.arrived(places[0], again()).sent, 0);
    assert_eq!(departs(&mut line), [], "it waits for the other one");
    line.arrived(places[1], again());
    check(&departs(&mut line), &[(0, 3), (3, 5)]);
}

#[test]
fn a_gap_goes_before_something_else() {
    let mut line = line(0);
    load(&mut line, [3]);
    assert_eq!(line.drop_before(point(8)), 50);
    assert_eq!(line.drop_before(point(9)), 10);
    let places = departs(&mut line);
    check(&places, &[(0, 3)]);
    line.arrived(places[0], stored(3));
    assert_eq!(line.passed(), 9, "nobody needs to know of it yet");
    load(&mut line, [12]);
    let places = departs(&mut line);
    check(&places, &[(3, 9), (9, 12)]);
    assert_eq!(line.arrived(places[0], stored(9)).sent, 0);
    assert_eq!(line.arrived(places[1], stored(12)).sent, 30);
    assert_eq!((line.passed(), line.cursor()), (12, point(12)));
}

/// Between what was sent and what comes, more may go at any time.
#[test]
fn a_gap_that_is_under_way_may_grow() {
    let mut line = line(0);
    line.is_gone(point(0), point(2));
    load(&mut line, [3]);
    let places = departs(&mut line);
    check(&places, &[(0, 2), (2, 3)]);
    line.arrived(places[0], stored(2));
    assert_eq!(line.drop_before(point(5)), 20);
    load(&mut line, [6]);
    let more = departs(&mut line);
    check(&more, &[(3, 5), (5, 6)]);
    line.arrived(places[1], stored(3));
    // The gap is known at the server, which is begun anew before it answers for what is behind.
    line.arrived(more[0], stored(5));
    assert_eq!(line.drop_before(point(9)), 30);
    line.arrived(more[1], again());
    load(&mut line, [10]);
    let last = departs(&mut line);
    check(&last, &[(5, 6), (6, 9), (9, 10)]);
}

/// An earlier process had made other parcels of the same records.
#[test]
fn the_server_may_have_a_part_of_a_parcel() {
    let mut line = line(0);
    load(&mut line, [4, 8]);
    let places = departs(&mut line);
    assert_eq!(
        line.arrived(places[0], stored(6)),
        Heard { effect: Effect::Turned, sent: 60, is_foreign: false }
    );
    line.arrived(places[1], stored(6));
    assert_eq!(line.unread(), Some(Unread { from: point(6), to: Some(point(8)) }));
    assert_eq!(departs(&mut line), [], "it is not in memory any more");
    load(&mut line, [7]);
    assert_eq!(line.unread(), Some(Unread { from: point(7), to: Some(point(8)) }));
    load(&mut line, [8]);
    let places = departs(&mut line);
    check(&places, &[(6, 7), (7, 8)]);
    assert_eq!(line.arrived(places[0], stored(7)).sent + line.arrived(places[1], stored(8)).sent, 20);
    assert_eq!((line.passed(), line.cursor()), (8, point(8)));
}

#[test]
fn the_server_may_have_more_than_was_read() {
    let mut line = line(0);
    load(&mut line, [4]);
    let places = departs(&mut line);
    assert_eq!(line.arrived(places[0], stored(9)).sent, 40);
    assert!(line.is_ahead());
    assert_eq!(line.corrects(90), 50);
    assert!(!line.is_ahead());
    assert_eq!((line.cursor(), line.passed()), (point(9), 9));
    load(&mut line, [10]);
    check(&departs(&mut line), &[(9, 10)]);
}

#[test]
fn what_is_in_memory_is_not_dropped() {
    let mut line = line(0);
    load(&mut line, [4]);
    assert_eq!(line.drop_before(point(2)), 0);
    assert_eq!(line.drop_before(point(4)), 0);
    assert_eq!(line.drop_before(point(6)), 20);
    assert_eq!((line.passed(), line.cursor()), (0, point(6)));
    assert_eq!((line.only_in_memory(0), line.only_in_memory(6)), (0, 40));
    load(&mut line, [8]);
    check(&departs(&mut line), &[(0, 4), (4, 6), (6, 8)]);
}

#[test]
fn what_the_server_has_no_room_for_is_read_again_in_parts() {
    let mut line = line(0);
    load(&mut line, [4, 5]);
    line.fit(400);
    let places = departs(&mut line);
    check(&places, &[(0, 4), (4, 5)]);
    line.fit(399);
    line.arrived(places[0], again());
    line.fit(399);
    line.arrived(places[1], again());
    line.fit(399);
    assert_eq!(line.unread(), Some(Unread { from: point(0), to: Some(point(4)) }));
    load(&mut line, [2, 4]);
    check(&departs(&mut line), &[(0, 2), (2, 4), (4, 5)]);
}

/// What is to be read again may be gone from the disk by then.
#[test]
fn what_is_to_be_read_again_may_be_gone() {
    let mut line = line(0);
    load(&mut line, [4, 5]);
    line.fit(100);
    assert_eq!(line.drop_before(point(1)), 40, "all of it: where it could be parted is not known any more");
    check(&departs(&mut line), &[(0, 4), (4, 5)]);
    let mut line = self::line(0);
    load(&mut line, [4, 5]);
    line.fit(100);
    let unread = line.unread().expect("it was too large");
    line.is_gone(unread.from, point(3));
    load(&mut line, [4]);
    check(&departs(&mut line), &[(0, 3), (3, 4), (4, 5)]);
}

#[test]
fn what_the_server_can_not_have_is_of_another_life() {
    let mut line = Line::new(Course::new([7; 16], 0), 0, 5);
    load(&mut line, [4, 8]);
    let places = departs(&mut line);
    let heard = line.arrived(places[0], stored(9));
    assert_eq!(heard, Heard { effect: Effect::Turned, sent: 0, is_foreign: true });
    line.becomes([8; 16]);
    let again = departs(&mut line);
    check(&again, &[(0, 4), (4, 8)]);
    assert!(again.iter().all(|place| place.source == [8; 16] && place.stored == 0));
    let heard = line.arrived(again[0], stored(8));
    assert_eq!((heard.sent, heard.is_foreign), (80, false), "so much was sent");
}
