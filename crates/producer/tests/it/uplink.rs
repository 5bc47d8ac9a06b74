//! The agents' client against the door: whatever happens to the connection, everything is stored once and in order.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::runtime::Handle;
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::exit::ExitCode;
use weir_foundation::retry::{Attempts, Backoff};
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_model::IndexPrefix;
use weir_testkit::{Cable, CableState};
use weir_uplink::{Course, Effect, Link, Parcel, Pings, Place, Server, Settings, Uplink, Verdict};
use weir_wire::{EventsBuilder, decode_record};

use crate::harness::World;
use crate::journal::Mood;

const LINES: u64 = 20_000;
const SOURCES: u8 = 5;
/// Parcels of a source that are under way at once.
const AHEAD: usize = 4;

/// An agent whose sources are numbers: at position `n` of each is the line `<source>:<n>`.
struct Agent {
    uplink: Uplink,
    supervisor: Supervisor,
    clock: Arc<dyn Clock>,
}

impl Agent {
    fn start(cable: &Cable) -> Self {
        Self::pinging(cable, Pings::default())
    }

    fn pinging(cable: &Cable, pings: Pings) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let supervisor = Supervisor::new(Handle::current(), Arc::clone(&clock), DrainDeadlines::default());
        let milliseconds = Duration::from_millis;
        let endpoint = format!("http://{}", cable.address());
        let endpoint = tonic::transport::Endpoint::from_shared(endpoint).expect("a URL");
        let settings = Settings {
            server: Server::Open { endpoint: Box::new(endpoint), agent: "web-1".to_owned() },
            connect_timeout: milliseconds(600),
            answer_timeout: milliseconds(600),
            backoff: Backoff::new(milliseconds(5), milliseconds(50), Attempts::Unlimited).expect("is valid"),
            pings,
        };
        let uplink = Uplink::start(settings, Arc::clone(&clock), &supervisor.spawner());
        Self { uplink, supervisor, clock }
    }

    /// Sends a parcel with what a source has next.
    async fn send(
        &self,
        course: &mut Course,
        lines: u64,
    ) -> (Place, impl Future<Output = Option<Verdict>> + use<>) {
        let start = course.next().expect("it does not turn");
        let place = course.depart(start + lines).expect("it does not turn");
        let mut events = EventsBuilder::new(&IndexPrefix::new("shop").expect("is placeal"));
        for position in start..start + lines {
            events.push_line(&format!("{}:{position}", course.source()[0]), None);
        }
        let parcel = Parcel::pack("shop", Some(place), events).expect("memory takes it");
        let verdict = self.uplink.send(parcel).await;
        (place, async { verdict.await.ok() })
    }

    /// Sends everything of all sources, and what did not arrive again.
    async fn run(&self, rng: &mut StdRng) {
        let mut courses: Vec<Course> = (0..SOURCES).map(|source| Course::new([source; 16], 0)).collect();
        let mut verdicts = FuturesUnordered::new();
        while courses.iter().any(|course| course.stored() < LINES) {
            for (index, course) in courses.iter_mut().enumerate() {
                while let Some(next) = course.next().filter(|next| *next < LINES)
                    && course.under_way() < AHEAD
                {
                    let lines = rng.random_range(1..=20).min(LINES - next);
                    let (place, verdict) = self.send(course, lines).await;
                    verdicts.push(async move { (index, place, verdict.await) });
                }
            }
            let Some((index, place, verdict)) = verdicts.next().await else { continue };
            let effect = courses[index].arrived(place, verdict.expect("the process goes on"));
            if let Effect::Held { delay, .. } = effect {
                self.clock.sleep(delay.min(Duration::from_millis(5))).await;
            }
        }
    }
}

fn messages(world: &World) -> Vec<String> {
    let mut messages = Vec::new();
    for (_, record) in world.journal.stored() {
        let batch = decode_record(record.format, &record.value, record.received).expect("it was made here");
        for event in batch.events() {
            let content = event.content.expect("it was made here").to_string();
            let content: serde_json::Value = serde_json::from_str(&content).expect("it is JSON");
            messages.push(content["message"].as_str().expect("it is a text").to_owned());
        }
    }
    messages
}

/// What is stored of each source, in its order.
fn stored(world: &World) -> BTreeMap<String, Vec<u64>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for message in messages(world) {
        let (source, position) = message.split_once(':').expect("a line of an agent");
        found.entry(source.to_owned()).or_default().push(position.parse().expect("a number"));
    }
    found
}

#[track_caller]
fn all_is_stored_once(world: &World) {
    let found = stored(world);
    assert_eq!(found.len(), usize::from(SOURCES));
    for (source, positions) in found {
        assert!(positions.iter().copied().eq(0..LINES), "source {source}: {} lines", positions.len());
    }
}

/// What happens to the connection and to the journal while an agent sends.
async fn suffer(world: &World, cable: &Cable, rng: &mut StdRng, clock: &dyn Clock) {
    loop {
        clock.sleep(Duration::from_millis(rng.random_range(5..60))).await;
        let state = match rng.random_range(0..10) {
            0 | 1 => {
                cable.snap();
                continue;
            }
            2 => CableState::Cut,
            3 => CableState::Dead,
            4 => CableState::Slow(Duration::from_millis(20)),
            6 => CableState::HalfOpen,
            7 => CableState::Lossy { one_in: 20, late: Duration::from_millis(20) },
            5 => {
                world.journal.set(Mood::Full);
                clock.sleep(Duration::from_millis(20)).await;
                world.journal.set(Mood::Good);
                continue;
            }
            _ => CableState::Whole,
        };
        cable.becomes(state);
        let lasts = rng.random_range(5..900);
        clock.sleep(Duration::from_millis(lasts)).await;
        cable.becomes(CableState::Whole);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_stored_once_and_in_order_whatever_happens_to_the_connection() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let world = World::new().await;
    let cable = Cable::to(world.ingest).await.expect("there is a free port");
    let agent = Agent::start(&cable);
    let mut fate = StdRng::seed_from_u64(rng.random());
    tokio::select! {
        () = agent.run(&mut rng) => {}
        () = suffer(&world, &cable, &mut fate, &SystemClock) => {}
    }
    all_is_stored_once(&world);
}

#[tokio::test]
async fn the_link_says_how_it_is_and_a_drain_waits_for_answers() {
    let world = World::new().await;
    let cable = Cable::to(world.ingest).await.expect("there is a free port");
    let agent = Agent::start(&cable);
    let mut link = agent.uplink.link();
    link.wait_for(|link| matches!(link, Link::Connected { max_parcel } if *max_parcel > 1 << 20))
        .await
        .expect("it lives");
    cable.becomes(CableState::Cut);
    link.wait_for(|link| matches!(link, Link::Disconnected(why) if !why.is_empty())).await.expect("it lives");
    cable.becomes(CableState::Whole);
    link.wait_for(|link| matches!(link, Link::Connected { .. })).await.expect("it lives");

    let mut course = Course::new([1; 16], 0);
    world.journal.set(Mood::Slow);
    let (place, verdict) = agent.send(&mut course, 3).await;
    world.journal.asked(1).await;
    let Agent { uplink, supervisor, .. } = agent;
    let mut ending = pin!(supervisor.run_until(async {}));
    tokio::select! {
        code = &mut ending => unreachable!("{code:?}: something is under way"),
        () = tokio::task::yield_now() => world.journal.set(Mood::Good),
    }
    let (code, verdict) = tokio::join!(ending, verdict);
    assert_eq!(verdict, Some(Verdict::Stored { mark: 3 }));
    assert_eq!(course.arrived(place, Verdict::Stored { mark: 3 }), Effect::Advanced);
    assert_eq!(code, ExitCode::Good);
    let late = uplink.send(
        Parcel::pack("shop", None, EventsBuilder::new(&Parcel::prefix("shop").expect("is placeal")))
            .expect("memory takes it"),
    );
    assert!(late.await.await.is_err(), "nothing is taken any more");
}

/// It sends nothing, and nobody tells it: neither where the cable is dead nor where the server alone has lost the connection.
#[tokio::test]
async fn an_agent_without_work_notices_that_nobody_is_there_and_comes_back() {
    let world = World::new().await;
    let cable = Cable::to(world.ingest).await.expect("there is a free port");
    let pings = Pings { after: Duration::from_millis(100), timeout: Duration::from_secs(2) };
    let agent = Agent::pinging(&cable, pings);
    let mut link = agent.uplink.link();
    let mut course = Course::new([1; 16], 0);
    for state in [CableState::Dead, CableState::HalfOpen] {
        let connected = link.wait_for(|link| matches!(link, Link::Connected { .. }));
        connected.await.expect("it lives");
        cable.becomes(state);
        let noticing = link.wait_for(|link| matches!(link, Link::Disconnected(_)));
        let noticed = tokio::time::timeout(Duration::from_secs(60), noticing).await;
        assert!(noticed.is_ok_and(|link| link.is_ok()), "{state:?}: it takes nobody for somebody");
        cable.becomes(CableState::Whole);
        let (place, verdict) = agent.send(&mut course, 3).await;
        let verdict = verdict.await.expect("the process goes on");
        assert_eq!(course.arrived(place, verdict), Effect::Advanced);
    }
    assert_eq!(world.journal.stored_events(), 6);
}

/// Parcels that are ready are sent while others are waited for.
#[tokio::test]
async fn a_throttled_agent_sends_nothing_until_it_may() {
    let world = World::new().await;
    let cable = Cable::to(world.ingest).await.expect("there is a free port");
    let agent = Agent::start(&cable);
    let mut link = agent.uplink.link();
    world.journal.set(Mood::Full);
    let (mut first, mut second) = (Course::new([1; 16], 0), Course::new([2; 16], 0));
    let (place, verdict) = agent.send(&mut first, 3).await;
    let verdict = verdict.await.expect("the process goes on");
    assert!(matches!(first.arrived(place, verdict), Effect::Held { code, .. } if code == "journal-full"));
    world.journal.set(Mood::Good);
    let (place, verdict) = agent.send(&mut second, 3).await;
    let mut verdict = pin!(verdict);
    let throttled =
        link.wait_for(|link| matches!(link, Link::Throttled(why) if why.contains("journal-full")));
    assert!(throttled.await.is_ok());
    tokio::select! {
        biased;
        over = link.wait_for(|link| matches!(link, Link::Connected { .. })) => assert!(over.is_ok()),
        verdict = &mut verdict => unreachable!("{verdict:?}: it was sent"),
    }
    let verdict = verdict.await.expect("the process goes on");
    assert_eq!(second.arrived(place, verdict), Effect::Advanced);
}

#[tokio::test]
async fn parcels_of_one_source_need_not_wait_for_each_other() {
    let world = World::new().await;
    let cable = Cable::to(world.ingest).await.expect("there is a free port");
    cable.becomes(CableState::Slow(Duration::from_millis(20)));
    let agent = Agent::start(&cable);
    let mut course = Course::new([1; 16], 0);
    let mut verdicts = VecDeque::new();
    for _ in 0..20 {
        verdicts.push_back(agent.send(&mut course, 10).await);
    }
    assert_eq!(course.under_way(), 20);
    while let Some((place, verdict)) = verdicts.pop_front() {
        let verdict = verdict.await.expect("the process goes on");
        assert_eq!(course.arrived(place, verdict), Effect::Advanced);
    }
    assert_eq!((course.stored(), world.journal.stored_events()), (200, 200));
}

/// The journal can not be stopped when the connection is: what it has in hand counts before anything is sent again.
#[tokio::test]
async fn what_the_journal_has_in_hand_when_the_connection_breaks_is_not_stored_again() {
    let world = World::new().await;
    let cable = Cable::to(world.ingest).await.expect("there is a free port");
    let agent = Agent::start(&cable);
    let mut course = Course::new([1; 16], 0);
    world.journal.set(Mood::Slow);
    let (place, verdict) = agent.send(&mut course, 3).await;
    world.journal.asked(1).await;
    cable.snap();
    let verdict = verdict.await.expect("the process goes on");
    assert!(matches!(course.arrived(place, verdict), Effect::Held { .. }));
    let (place, verdict) = agent.send(&mut course, 2).await;
    // The agent comes back, and waits for its former stream.
    let mut link = agent.uplink.link();
    link.wait_for(|link| matches!(link, Link::Disconnected(_))).await.expect("it lives");
    let back = link.wait_for(|link| matches!(link, Link::Connected { .. }));
    assert!(
        tokio::time::timeout(Duration::from_millis(900), back).await.is_err(),
        "nobody is let in meanwhile"
    );
    world.journal.set(Mood::Good);
    let verdict = verdict.await.expect("the process goes on");
    assert_eq!(verdict, Verdict::Stored { mark: 3 }, "more than it has sent again");
    assert_eq!(course.arrived(place, verdict), Effect::Turned);
    assert_eq!((course.next(), world.journal.stored_events()), (Some(3), 3));
}
