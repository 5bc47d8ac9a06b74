use futures_util::FutureExt;
use std::time::Duration;

use weir_foundation::clock::{Clock, ManualClock};
use weir_foundation::retry::Attempts;
use weir_model::Offset;

use super::*;
use crate::bulk::{Claim, Ticket};

const SECOND: Duration = Duration::from_secs(1);

fn queues() -> Queues {
    Queues::new(Limits {
        bulk_documents: 2,
        bulk_bytes: 100,
        requests: 8,
        buffer: 1_000,
        gzip_level: 0,
        retry: Backoff::new(SECOND, SECOND, Attempts::Unlimited).expect("is valid"),
    })
}

struct World {
    queues: Queues,
    clock: ManualClock,
    claim: Claim,
}

impl World {
    fn new() -> Self {
        Self {
            queues: queues(),
            clock: ManualClock::new(std::time::UNIX_EPOCH),
            claim: Claim(Arc::<Ticket>::default()),
        }
    }

    /// With as many requests of `a` under way as it may have.
    fn busy() -> Self {
        let world = Self::new();
        for _ in 0..4 {
            assert!(world.submit("a", 2));
        }
        assert_eq!(world.started(), ["a"; 4]);
        world
    }

    fn now(&self) -> Instant {
        self.clock.monotonic()
    }

    /// Whether there was room for a draft of so many documents of ten bytes.
    fn submit(&self, index: &str, documents: u64) -> bool {
        let mut draft = Draft::new(&self.claim.0, self.now() + SECOND);
        for offset in 0..documents {
            let added: Result<(), ()> = draft.add(Offset(offset), 0, |bytes| {
                bytes.extend_from_slice(b"123456789\n");
                Ok(())
            });
            assert_eq!(added, Ok(()));
        }
        self.queues.submit(&index.into(), draft).now_or_never().is_some()
    }

    fn started(&self) -> Vec<String> {
        std::iter::from_fn(|| self.queues.start(self.now())).map(|bulk| bulk.index.to_string()).collect()
    }

    fn finish(&self, index: &str, ending: Ending) {
        // Two documents: twenty bytes and their places.
        self.queues.finish(&index.into(), 20 + 2 * 24, Vec::new(), ending, self.now());
    }
}

#[test]
fn a_bulk_is_full_or_has_waited() {
    let world = World::new();
    assert!(world.submit("a", 1));
    world.queues.close_due(world.now());
    assert_eq!(world.started(), Vec::<String>::new());
    assert!(world.submit("a", 1));
    assert_eq!(world.started(), ["a"]);
    assert!(world.submit("b", 1));
    assert_eq!(world.queues.next_due(world.now()), Some(world.now() + SECOND));
    world.clock.advance(SECOND);
    world.queues.close_due(world.now());
    assert_eq!(world.started(), ["b"]);
}

#[test]
fn a_bulk_is_filled_by_whoever_comes() {
    let world = World::new();
    assert!(world.submit("a", 1) && world.submit("a", 2));
    assert_eq!(world.started(), ["a"], "two of the three");
    assert!(world.submit("a", 1));
    assert_eq!(world.started(), ["a"], "the third with the next");
}

#[test]
fn a_bulk_grows_until_it_can_be_sent() {
    let world = World::busy();
    assert!(world.submit("a", 1));
    world.clock.advance(SECOND);
    world.queues.close_due(world.now());
    assert_eq!(world.queues.next_due(world.now()), None, "it waits for the end of a request");
    assert!(world.submit("a", 1));
    world.finish("a", Ending::Progress);
    assert_eq!(world.started(), ["a"]);
    assert_eq!(world.queues.next_due(world.now()), None, "both are in it");
}

#[test]
fn an_index_leaves_half_of_the_requests_to_others() {
    let world = World::new();
    for _ in 0..6 {
        assert!(world.submit("a", 2));
    }
    assert_eq!(world.started(), ["a"; 4]);
    for _ in 0..4 {
        assert!(world.submit("b", 2));
    }
    assert_eq!(world.started(), ["b"; 2]);
    assert!(world.submit("c", 2) && world.submit("d", 2) && world.submit("e", 2));
    assert_eq!(world.started(), ["c", "d"]);
    world.finish("a", Ending::Progress);
    assert_eq!(world.started(), ["e"], "it has waited, and `a` has its share");
}

#[test]
fn indices_take_turns() {
    let world = World::new();
    for index in ["a", "b", "c"] {
        assert!(world.submit(index, 2) && world.submit(index, 2));
    }
    assert_eq!(world.started()[..3], ["a", "b", "c"]);
}

#[test]
fn an_index_leaves_half_of_the_buffer_to_others() {
    let world = World::new();
    let noisy = (0..100).take_while(|_| world.submit("noisy", 2)).count();
    assert!((5..=8).contains(&noisy), "{noisy} bulks of 68 bytes are in half of a thousand");
    assert!(world.submit("quiet", 2) && world.submit("other", 2));
    assert!(!world.submit("noisy", 2));
}

#[test]
fn trouble_is_one_request_after_a_pause() {
    let world = World::busy();
    for _ in 0..4 {
        assert!(world.submit("a", 2) || world.submit("b", 2));
    }
    (0..4).for_each(|_| world.finish("a", Ending::Trouble { reason: "503".to_owned() }));
    assert_eq!(world.queues.troubled()[0].reason, "503");
    world.clock.advance(SECOND);
    let started = world.started();
    assert_eq!(started.iter().filter(|index| *index == "a").count(), 1, "{started:?}");
    world.finish("a", Ending::Progress);
    assert_eq!(world.queues.troubled(), []);
}

#[test]
fn what_was_abandoned_makes_room() {
    let mut world = World::new();
    while world.submit("a", 2) {}
    assert!(world.queues.load().0 > 0);
    world.claim = Claim(Arc::default());
    world.queues.forget_abandoned();
    assert_eq!(world.queues.load().0, 0);
    assert_eq!(world.queues.next_due(world.now()), None);
}
