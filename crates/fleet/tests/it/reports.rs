use weir_fleet::{ConfigurationHash, FailedConfiguration, Fleet, Report};
use weir_foundation::clock::Clock;
use weir_state::{Kind, State};

use crate::support::{HOUR, MINUTE, admin, agent, world};

fn said(fleet: &Fleet, name: &str) -> Option<Report> {
    fleet.agent(&agent(name))?.report?.said
}

fn report(version: &str) -> Report {
    Report {
        version: version.to_owned(),
        offered: Some(ConfigurationHash::of("new")),
        running: Some(ConfigurationHash::of("old")),
        failed: Some(FailedConfiguration {
            hash: ConfigurationHash::of("new"),
            reason: "no such file".to_owned(),
        }),
        lag_bytes: Some(12_345),
        last_error: Some("connection refused".to_owned()),
    }
}

#[tokio::test]
async fn what_agents_say_is_told_here_and_elsewhere() {
    let world = world().await;
    let (fleet, other) = (&world.fleet, world.another().await);
    let node = world.node("node").await;
    fleet.check_certificate(node.shown()).await.expect("it is good");
    let seen = world.clock.now();
    let view = fleet.agent(&node.name).and_then(|view| view.report).expect("it was seen");
    assert_eq!((view.seen, view.said), (seen, None));
    world.clock.advance(MINUTE);
    fleet.report(&node.name, report("1"));
    assert_eq!(said(fleet, "node"), Some(report("1")), "at once");
    world.pass(MINUTE).await;
    other.refresh().await.expect("read");
    assert_eq!(said(&other, "node"), Some(report("1")), "elsewhere with the next minute");
    other.report(&node.name, report("2"));
    world.clock.advance(MINUTE);
    other.maintain(world.clock.now()).await.expect("maintained");
    fleet.refresh().await.expect("read");
    assert_eq!(said(fleet, "node"), Some(report("2")), "the newest of both");
    // Whoever heard something old does not write it over something new.
    world.pass(2 * MINUTE).await;
    other.refresh().await.expect("read");
    assert_eq!(said(&other, "node"), Some(report("2")));
    let anew = world.another().await;
    assert_eq!(said(&anew, "node"), Some(report("2")));
}

/// A busy agent is written once a minute.
#[tokio::test]
async fn reports_are_written_once_a_minute() {
    let world = world().await;
    let node = world.node("node").await;
    let revision = world.state.revision();
    let before = *revision.borrow();
    for second in 0..600_u32 {
        world.fleet.report(&node.name, report(&second.to_string()));
        world.pass(MINUTE / 60).await;
    }
    let written = *revision.borrow() - before;
    assert!((9..=11).contains(&written), "{written}");
}

#[tokio::test]
async fn nothing_is_kept_of_those_who_are_not_there() {
    let world = world().await;
    let fleet = &world.fleet;
    fleet.report(&agent("nobody"), report("1"));
    let node = world.node("node").await;
    fleet.report(&node.name, report("1"));
    world.pass(MINUTE).await;
    let stored = async || world.state.list(Kind::new("report")).await.expect("listed").len();
    assert_eq!(stored().await, 1);
    fleet.report(&node.name, report("2"));
    fleet.forget_agent(&node.name, &admin()).await.expect("forgotten");
    fleet.report(&node.name, report("3"));
    world.pass(HOUR).await;
    assert_eq!(stored().await, 0);
    let anew = world.node("node").await;
    assert_eq!(anew.name, node.name);
    assert_eq!(said(fleet, "node"), None, "of another life of the name");
}
