use weir_fleet::{
    AgentStatus, ConfigurationHash, FailedConfiguration, Fleet, LogAnswer, LogRequest, Report, SILENCE,
};
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
        status: Some(AgentStatus { error: "connection refused".to_owned(), ..AgentStatus::default() }),
        ..Report::default()
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
    fleet.write_reports().await.expect("written");
    other.refresh().await.expect("read");
    assert_eq!(said(&other, "node"), Some(report("1")), "elsewhere when it is written");
    world.clock.advance(MINUTE);
    other.report(&node.name, report("2"));
    other.write_reports().await.expect("written");
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
    for _ in 0..600_u32 {
        world.fleet.report(&node.name, report("1"));
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

/// An agent goes from one process to another, and the first one notices late.
#[tokio::test]
async fn an_agent_is_where_it_came_last() {
    let world = world().await;
    let (fleet, other) = (&world.fleet, world.another().await);
    let node = world.node("node").await;
    let attending = |fleet: &Fleet| fleet.agent(&node.name).and_then(|view| view.report?.attending);
    let told = async |from: &Fleet, to: &Fleet| {
        from.write_reports().await.expect("written");
        to.refresh().await.expect("read");
    };
    let first = fleet.attends(&node.name, 0);
    told(fleet, &other).await;
    assert_eq!((attending(fleet), attending(&other)), (Some(first), Some(first)));
    world.clock.advance(MINUTE);
    let second = other.attends(&node.name, 0);
    assert!(!other.is_replaced(&node.name, second) && other.is_replaced(&node.name, first));
    assert_eq!((second.session, second.takeovers), (2, 0), "it stayed for long");
    fleet.leaves(&node.name, first);
    // Written over what the other one is about to write.
    told(fleet, fleet).await;
    told(&other, fleet).await;
    told(fleet, &other).await;
    assert_eq!((attending(fleet), attending(&other)), (Some(second), Some(second)));
    assert!(fleet.is_replaced(&node.name, first));
    other.leaves(&node.name, second);
    told(&other, fleet).await;
    assert_eq!((attending(fleet), attending(&other)), (None, None), "it left the one where it was");
    // A process that was killed says nothing any more.
    other.attends(&node.name, 0);
    told(&other, fleet).await;
    assert!(attending(fleet).is_some());
    world.clock.advance(SILENCE + MINUTE);
    assert_eq!(attending(fleet), None);
}

/// Two have the folder of an agent, and come to two processes.
#[tokio::test]
async fn copies_throw_each_other_out_wherever_they_come() {
    let world = world().await;
    let (fleet, other) = (&world.fleet, world.another().await);
    let node = world.node("node").await;
    let processes = [fleet, &other];
    let mut present = fleet.attends(&node.name, 0);
    for turn in 1..=6 {
        let (here, there) = (processes[turn % 2], processes[(turn + 1) % 2]);
        there.write_reports().await.expect("written");
        here.refresh().await.expect("read");
        let next = here.attends(&node.name, 0);
        assert_eq!(next.takeovers as usize, turn);
        here.write_reports().await.expect("written");
        there.refresh().await.expect("read");
        assert!(there.is_replaced(&node.name, present));
        present = next;
        world.clock.advance(MINUTE / 6);
    }
}

#[tokio::test]
async fn a_log_is_asked_for_at_another_process() {
    let world = world().await;
    let (fleet, other) = (&world.fleet, world.another().await);
    let node = world.node("node").await;
    let answers = async |answer: LogAnswer| {
        let open = async || -> LogRequest {
            loop {
                other.refresh().await.expect("read");
                if let Some(request) = other.log_requests().pop() {
                    return request;
                }
                tokio::task::yield_now().await;
            }
        };
        let answering = async {
            let request = open().await;
            assert_eq!((&request.agent, request.lines), (&node.name, 9));
            other.answer_log_request(&request, answer.clone()).await.expect("written");
            other.answer_log_request(&request, LogAnswer::Silent).await.expect("it is answered");
            fleet.refresh().await.expect("read");
        };
        let (asked, ()) = tokio::join!(fleet.ask_for_log(&node.name, 9), answering);
        assert_eq!(asked.expect("it is asked"), answer);
    };
    answers(LogAnswer::Lines(vec!["one".to_owned()])).await;
    answers(LogAnswer::Crowded).await;
    let left = async || world.state.list(Kind::new("log-request")).await.expect("listed").len();
    assert_eq!(left().await, 0);
    // Nobody answers, and who asked is gone.
    let is_asked = async {
        while fleet.log_requests().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = fleet.ask_for_log(&node.name, 9) => unreachable!("{answer:?}"),
        () = is_asked => {}
    }
    assert_eq!((left().await, fleet.log_requests().len()), (1, 1));
    world.pass(6 * MINUTE).await;
    assert_eq!((left().await, fleet.log_requests().len()), (0, 0));
}
