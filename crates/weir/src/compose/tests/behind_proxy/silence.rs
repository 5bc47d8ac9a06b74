//! A server that takes a call and never answers it: the agent gives up at each step, says at which, and tries again.

use weir_testkit::{Cable, CableState, JumpingClock, SkewedClock};
use weir_wire::proto::ingest::ServerMessage;
use weir_wire::proto::ingest::server_message::Kind as Told;

use super::super::log::Log;
use super::*;

/// Why the agent is not there, as its operator reads it.
fn why(machine: &Machine) -> Option<String> {
    match machine.agent().standing() {
        Standing::Enrolling(why) => why.map(|why| why.to_string()),
        Standing::Enrolled { link: Link::Disconnected(why) | Link::Refused(why), .. } => {
            Some(why.to_string())
        }
        Standing::Enrolled { link: Link::New | Link::Connected { .. } | Link::Throttled(_), .. } => None,
    }
}

impl World {
    /// Waits until the agent could not do so within this time.
    async fn gives_up(&self, machine: &Machine, step: &str, limit: &str) {
        let expected = format!("could not {step}: the server did not answer within {limit}");
        self.until(async || why(machine).filter(|why| why.contains(&expected))).await;
    }
}

/// Time that is to leap by so much up to that of the machine, by which the proxies look at certificates.
fn before(clock: &JumpingClock, leap: Duration) -> Arc<dyn Clock> {
    Arc::new(SkewedClock::behind(Arc::new(clock.clone()), leap))
}

/// What the server says on the stream of events, and nobody hears.
fn keep_back(front: &Front, is_kept_back: impl Fn(&Told) -> bool + Send + Sync + 'static) {
    front.agents.answer_becomes(move |path, message| {
        let is_of_stream = path.ends_with("/Stream");
        let told = is_of_stream.then(|| ServerMessage::decode(message.clone()).expect("it is one").kind);
        if told.flatten().is_some_and(|told| is_kept_back(&told)) { Vec::new() } else { vec![message] }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_gives_up_at_each_step_and_tries_again() {
    let front = Front::new(Arc::new(SystemClock), &[]).await;
    let world = &front.world;
    let mut machine = Machine::waiting("1s");
    let key = world.key(false).await;
    front.enrolment.falls_silent("/Enrol");
    machine.start(&world.process.clock, Some(&key));
    world.gives_up(&machine, "enrol", "1s").await;
    let calls = front.enrolment.calls("/Enrol");
    world.until(async || (front.enrolment.calls("/Enrol") > calls).then_some(())).await;
    front.agents.falls_silent("/Token");
    front.enrolment.speaks();
    for (step, next) in
        [("get an access token", "/Attend"), ("attend", "/Stream"), ("begin a stream", "nobody")]
    {
        world.gives_up(&machine, step, "1s").await;
        if next == "nobody" {
            keep_back(&front, |told| matches!(told, Told::Welcome(_)));
        }
        front.agents.falls_silent(next);
    }
    world.gives_up(&machine, "be welcomed", "1s").await;
    keep_back(&front, |told| matches!(told, Told::Answer(_)));
    world.until(async || connected(machine.agent())).await;
    world.configure(&machine.configuration()).await;
    machine.append("a.log", &format!("{MARKER}0\n"));
    world.gives_up(&machine, "have a batch stored", "1s").await;
    front.agents.answer_becomes(|_, message| vec![message]);
    world.until(async || connected(machine.agent())).await;
    machine.append("a.log", &format!("{MARKER}1\n"));
    world.has_lines(2).await;
    machine.stop().await;
    assert_eq!(world.audit().await.verdict, AuditVerdict::Agrees);
    assert_eq!(front.world.drain().await.1, ExitCode::Good);
}

/// Connections are taken, and no byte comes back.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_gives_up_where_not_even_tls_is_answered() {
    let (agents, enrolment) = (free(), free());
    // For the life of the test: settings are given as they are written.
    let leak = |address: SocketAddr| &*address.to_string().leak();
    let settings = [("fleet.advertise.agents", leak(agents)), ("fleet.advertise.enrolment", leak(enrolment))];
    let directory = tempfile::tempdir().expect("there is space");
    let world = World::with(directory, Arc::new(SystemClock), &settings).await;
    let doors = world.running.addresses;
    let agents = Cable::between(agents, doors.ingest).await.expect("it is free");
    let enrolment = Cable::between(enrolment, doors.enrolment).await.expect("it is free");
    for cable in [&agents, &enrolment] {
        cable.becomes(CableState::Dead);
    }
    let mut machine = Machine::waiting("1s");
    machine.append("a.log", &format!("{MARKER}0\n"));
    let key = world.key(false).await;
    machine.start(&world.process.clock, Some(&key));
    world.gives_up(&machine, "connect", "1s").await;
    assert!(matches!(machine.agent().standing(), Standing::Enrolling(_)));
    enrolment.becomes(CableState::Whole);
    let is_enrolled = || matches!(machine.agent().standing(), Standing::Enrolled { .. });
    world.until(async || is_enrolled().then_some(())).await;
    world.gives_up(&machine, "connect", "1s").await;
    agents.becomes(CableState::Whole);
    world.configure(&machine.configuration()).await;
    world.has_lines(1).await;
    machine.stop().await;
    assert_eq!(world.drain().await.1, ExitCode::Good);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_renewed_in_time_ends_the_connection_and_not_the_agent() {
    let front = Front::new(Arc::new(FastClock::new(10)), &[("fleet.token_life", "1m")]).await;
    let world = &front.world;
    let mut machine = Machine::waiting("10s");
    let key = world.key(false).await;
    machine.start(&world.process.clock, Some(&key));
    world.configure(&machine.configuration()).await;
    world.until(async || connected(machine.agent())).await;
    front.agents.falls_silent("/Token");
    world.gives_up(&machine, "renew the access token", "10s").await;
    front.agents.speaks();
    machine.append("a.log", &format!("{MARKER}0\n"));
    world.has_lines(1).await;
    machine.stop().await;
    // Its phases have a tenth of their time here.
    front.world.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_recovered_in_time_is_asked_for_again() {
    let front = Front::new(Arc::new(FastClock::new(10)), &[("fleet.certificate_life", "20s")]).await;
    let world = &front.world;
    let mut machine = Machine::waiting("10s");
    let key = world.key(false).await;
    machine.start(&world.process.clock, Some(&key));
    world.configure(&machine.configuration()).await;
    world.until(async || connected(machine.agent())).await;
    machine.stop().await;
    machine.append("a.log", &format!("{MARKER}0\n"));
    world.process.clock.sleep(Duration::from_secs(30)).await;
    front.enrolment.falls_silent("/Recover");
    machine.start(&world.process.clock, None);
    world.gives_up(&machine, "recover the certificate", "10s").await;
    front.enrolment.speaks();
    world.has_lines(1).await;
    machine.stop().await;
    // Its phases have a tenth of their time here.
    front.world.drain().await;
}

/// There is time to try again, and events go on meanwhile. The runtime of the test has one thread, so that what the agent
/// logs of it is seen here.
#[tokio::test]
async fn a_certificate_that_is_not_renewed_in_time_is_asked_for_again() {
    let (log, _logging) = Log::begin(tracing::Level::WARN);
    // More than six tenths of the life of a certificate, and a tenth more of it.
    let (clock, renewal) = (JumpingClock::new(), Duration::from_secs(40 * 60));
    // The token outlives all of it.
    let lives = [("fleet.certificate_life", "1h"), ("fleet.token_life", "1d")];
    let front = Front::new(before(&clock, renewal), &lives).await;
    let world = &front.world;
    let mut machine = Machine::waiting("2s");
    let key = world.key(false).await;
    machine.start(&world.process.clock, Some(&key));
    world.configure(&machine.configuration()).await;
    machine.append("a.log", &format!("{MARKER}0\n"));
    world.has_lines(1).await;
    front.agents.falls_silent("/Renew");
    clock.jump(renewal);
    let told = "could not renew the certificate: the server did not answer within 2s";
    world.until(async || log.text().contains(told).then_some(())).await;
    machine.append("a.log", &format!("{MARKER}1\n"));
    world.has_lines(2).await;
    assert_eq!((front.streams(), front.agents.calls("/Renew"), world.generation("web-3")), (1, 1, 1));
    front.agents.speaks();
    clock.jump(Duration::from_secs(60));
    world.until(async || (world.generation("web-3") == 2).then_some(())).await;
    machine.append("a.log", &format!("{MARKER}2\n"));
    world.has_lines(3).await;
    machine.stop().await;
    assert_eq!(front.world.drain().await.1, ExitCode::Good);
}

/// Its clock is behind, so that its certificate has not begun by it: another one would be no better.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_good_by_the_servers_clock_needs_nobody_to_recover_it() {
    let (clock, hour) = (JumpingClock::new(), Duration::from_secs(3_600));
    let front = Front::new(before(&clock, 2 * hour), &[]).await;
    let world = &front.world;
    // A clock that is behind knows this server already.
    clock.jump(2 * hour);
    let its = SkewedClock::behind(Arc::clone(&world.process.clock), hour);
    let mut machine = Machine::waiting("3s");
    machine.append("a.log", &format!("{MARKER}0\n"));
    let key = world.key(false).await;
    front.enrolment.falls_silent("/Recover");
    machine.start(&(Arc::new(its) as Arc<dyn Clock>), Some(&key));
    world.configure(&machine.configuration()).await;
    world.has_lines(1).await;
    assert!(front.enrolment.calls("/Recover") > 0);
    machine.stop().await;
    assert_eq!(front.world.drain().await.1, ExitCode::Good);
}
