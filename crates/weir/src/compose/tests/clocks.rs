//! Agents whose clocks are wrong: by how much is measured and shown, and their lines are stored all the same.

use serde_json::Value;
use weir_testkit::{JumpingClock, SkewedClock};

use super::agents::{Machine, connected};
use super::operators::Operator;
use super::*;

const MINUTES: Duration = Duration::from_secs(270);
const HOURS: Duration = Duration::from_secs(19_800);

/// When the next token is asked for, at the latest; it lives for a minute.
const RENEWAL: Duration = Duration::from_secs(36);

/// What is measured is exact but for half of the time that a call takes.
const SLACK: i64 = 20_000;

/// The agent is connected, is shown to be off by so many milliseconds, and goes on while its tokens end.
async fn an_agent_is_off(skewed: impl FnOnce(Arc<dyn Clock>) -> SkewedClock, millis: i64, words: &str) {
    let clock = JumpingClock::new();
    let directory = tempfile::tempdir().expect("there is space");
    let world = World::with(directory, Arc::new(clock.clone()), &[("fleet.token_life", "60s")]).await;
    // A clock that is hours behind knows this server already.
    clock.jump(2 * HOURS);
    let mut machine = Machine::new();
    let key = world.key(false).await;
    let its: Arc<dyn Clock> = Arc::new(skewed(Arc::clone(&world.process.clock)));
    machine.start(&its, Some(&key));
    world.configure(&machine.configuration()).await;
    machine.append("a.log", "line 0\n");
    world.has_lines(1).await;
    let operator = Operator::of(&world);
    let is_shown = |agent: &Value| {
        let measured = agent["clock_skew_millis"].as_i64();
        measured.is_some_and(|measured| (measured - millis).abs() < SLACK)
            && agent["why"].as_str() == Some(words)
    };
    let agent = operator.agent("web-3", is_shown).await;
    assert_eq!(agent["state"], "ok", "{agent}");
    // Four lives of a token, in steps that are shorter than one.
    for line in 1..=7 {
        clock.jump(RENEWAL);
        machine.append("a.log", &format!("line {line}\n"));
        world.has_lines(line + 1).await;
    }
    let agent = operator.agent("web-3", is_shown).await;
    assert_eq!(agent["state"], "ok", "{agent}");
    assert!(connected(machine.agent()).is_some());
    assert!(!world.metrics().await.contains("token-expired"));
    machine.stop().await;
    assert_eq!(world.audit().await.verdict, AuditVerdict::Agrees);
    assert_eq!(world.drain().await.1, ExitCode::Good);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_minutes_ahead() {
    an_agent_is_off(|clock| SkewedClock::ahead(clock, MINUTES), 270_000, "its clock is 4m ahead").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_minutes_behind() {
    an_agent_is_off(|clock| SkewedClock::behind(clock, MINUTES), -270_000, "its clock is 4m behind").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_hours_ahead() {
    an_agent_is_off(|clock| SkewedClock::ahead(clock, HOURS), 19_800_000, "its clock is 5h ahead").await;
}

/// By its clock its certificate has not begun.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_hours_behind() {
    an_agent_is_off(|clock| SkewedClock::behind(clock, HOURS), -19_800_000, "its clock is 5h behind").await;
}
