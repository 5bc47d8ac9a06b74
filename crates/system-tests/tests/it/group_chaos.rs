//! A group of consumers to whose members everything happens that can happen to a process.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::seq::{IteratorRandom, SliceRandom};
use rustix::process::Signal;
use tokio::task::JoinHandle;
use weir_system_tests::ledger::Ledger;
use weir_system_tests::load::Client;
use weir_system_tests::process::{Setup, Weir};
use weir_system_tests::reckoning::settle_documents;
use weir_system_tests::seed;
use weir_system_tests::wait::until_seldom;

use crate::world::{PATIENCE, World, start};

const TOPICS: usize = 20;
const MEMBERS: usize = 3;

/// What happens to a member.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// SIGTERM.
    Stop,
    /// SIGKILL.
    Kill,
    /// SIGSTOP, until the group has taken it for dead; it learns of that when it goes on.
    Pause,
}

/// How many of each, in an order that the seed gives.
const BLOWS: [(Blow, usize); 3] = [(Blow::Stop, 2), (Blow::Kill, 3), (Blow::Pause, 3)];

/// How likely a member that is down comes back after a blow to another.
const COMES_BACK: f64 = 0.6;

/// A process of the group, while it runs.
struct Member {
    name: String,
    setup: Setup,
    weir: Option<Weir>,
}

impl Member {
    fn new(world: &World, number: usize) -> Self {
        let name = format!("{}-member-{number}", world.name);
        // As short as brokers allow it.
        let setup = world
            .setup(&name)
            .with("kafka.session_timeout", "6s")
            .with("kafka.heartbeat_interval", "500ms")
            .with("elasticsearch.retry_longest", "1s");
        Self { name, setup, weir: None }
    }

    async fn start(&mut self) {
        self.weir = Some(start("consumer", &self.setup).await);
    }

    /// Panics unless it runs and ends well.
    async fn stop(&mut self) {
        let weir = self.weir.take().expect("it runs");
        let status = weir.terminate().await;
        assert!(status.success(), "{} ended with {status}", self.name);
    }

    async fn suffer(&mut self, blow: Blow, world: &World) {
        match blow {
            Blow::Stop => self.stop().await,
            Blow::Kill => self.weir.take().expect("it runs").kill(),
            Blow::Pause => {
                let weir = self.weir.as_ref().expect("it runs");
                weir.signal(Signal::STOP);
                until_seldom("the group goes on without it", PATIENCE, async || {
                    (!world.outsider.members(world.name)?.contains(&self.name)).then_some(())
                })
                .await;
                weir.signal(Signal::CONT);
            }
        }
    }
}

fn clients(world: &World, producer: &Weir, ledger: &Arc<Ledger>) -> Vec<JoinHandle<()>> {
    let client = |number| {
        let (name, app) = (format!("client{number}"), world.app(number));
        let client = Client { name, app, batch: 10, pause: Duration::from_millis(200) };
        tokio::spawn(client.run(producer.addresses.grpc, Arc::clone(ledger)))
    };
    (0..TOPICS).map(client).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_stores_every_event_once_whatever_happens_to_its_members() {
    let mut rng = seed::rng();
    let world = World::shared("chaos");
    let producer = world.producer().await;
    let ledger = Arc::new(Ledger::default());
    let clients = clients(&world, &producer, &ledger);
    let mut members: Vec<Member> = (0..MEMBERS).map(|number| Member::new(&world, number)).collect();
    for member in &mut members {
        member.start().await;
    }
    // One for each process, however many topics there are.
    until_seldom("all are in the group", PATIENCE, async || {
        (world.outsider.members(world.name)?.len() == MEMBERS).then_some(())
    })
    .await;
    let mut blows: Vec<Blow> = BLOWS.iter().flat_map(|(blow, count)| vec![*blow; *count]).collect();
    blows.shuffle(&mut rng);
    for blow in blows {
        world.grows().await;
        let running = members.iter_mut().filter(|member| member.weir.is_some());
        let victim = running.choose(&mut rng).expect("one always runs");
        eprintln!("{blow:?} of {}, {} events so far", victim.name, ledger.acknowledged());
        victim.suffer(blow, &world).await;
        let mut down: Vec<_> = members.iter_mut().filter(|member| member.weir.is_none()).collect();
        let all = down.len() == MEMBERS;
        for (index, member) in down.iter_mut().enumerate() {
            if rng.random_bool(COMES_BACK) || (all && index == 0) {
                member.start().await;
            }
        }
    }
    for member in members.iter_mut().filter(|member| member.weir.is_none()) {
        member.start().await;
    }
    ledger.stop();
    for client in clients {
        client.await.expect("it sends");
    }
    world.caught_up().await;
    settle_documents(&world.documents(), &ledger).await;
    for member in &mut members {
        member.stop().await;
    }
    assert!(producer.terminate().await.success());
}
