//! Tokens that are renewed while everything goes on: a connection outlives them by far.

use weir_foundation::clock::Clock as _;
use weir_testkit::JumpingClock;
use weir_wire::proto::control::Report;
use weir_wire::proto::control::report::Kind as Said;

use super::*;

/// Of a token; its certificate lives for a day.
const LIFE: Duration = Duration::from_secs(60);

/// When the next one is asked for, at the latest.
const RENEWAL: Duration = Duration::from_secs(36);

const RENEWALS: usize = 40;

impl Front {
    /// How many such reports agents have made.
    fn reported(&self, is_such: impl Fn(&Said) -> bool) -> usize {
        let messages = self.agents.seen();
        let of_control = |(path, message): &Message| {
            path.ends_with("/Attend").then(|| Report::decode(message.clone()).expect("it is one"))
        };
        messages.iter().filter_map(of_control).filter_map(|report| report.kind).filter(is_such).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_its_tokens_by_far() {
    let clock = JumpingClock::new();
    let front = Front::new(Arc::new(clock.clone()), &[("fleet.token_life", "60s")]).await;
    let world = &front.world;
    let mut machine = Machine::new();
    let key = world.key(false).await;
    machine.start(&world.process.clock, Some(&key));
    world.configure(&machine.configuration()).await;
    machine.append("a.log", &format!("{MARKER}0\n"));
    world.has_lines(1).await;
    let began = clock.now();
    for renewed in 1..=RENEWALS {
        clock.jump(RENEWAL);
        let both = async || {
            let (stream, control) = (
                front.said(|kind| matches!(kind, Kind::Token(_))),
                front.reported(|said| matches!(said, Said::Token(_))),
            );
            (stream >= renewed && control >= renewed).then_some(())
        };
        world.until(both).await;
        // It is the connection that it began with, on both sides.
        let begun = (front.streams(), front.reported(|said| matches!(said, Said::Introduction(_))));
        assert_eq!(begun, (1, 1), "{renewed}");
        machine.append("a.log", &format!("{MARKER}{renewed}\n"));
        world.has_lines(renewed + 1).await;
    }
    let passed = clock.now().duration_since(began).expect("it is later");
    assert!(passed > LIFE * 20, "{passed:?}");
    assert_eq!((front.streams(), world.generation("web-3")), (1, 1));
    // No batch came with a token that had ended.
    let metrics = world.metrics().await;
    assert!(metrics.contains("weir_producer_accepted_events_total"), "{metrics}");
    assert!(!metrics.contains("token-expired"), "{metrics}");
    machine.stop().await;
    assert_eq!(world.audit().await.verdict, AuditVerdict::Agrees);
    assert_eq!(front.world.drain().await.1, ExitCode::Good);
}
