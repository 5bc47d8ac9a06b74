//! Agents that keep to nothing.

use std::time::Duration;

use super::*;
use crate::harness::eventually;
use crate::journal::Mood;

/// Sends what is turned away, with long answers, of which it takes none: far more than the way back has room for.
async fn never_listens(agent: &mut Agent) {
    let long = "x".repeat(3_000);
    for _ in 0..2_000 {
        agent.sequence += 1;
        let one = Batch { sequence: agent.sequence, app: long.clone(), ..batch("shop", &["a"]) };
        if !agent.could_say(Kind::Batch(one)).await {
            return;
        }
    }
}

#[tokio::test]
async fn an_agent_that_takes_no_answers_is_out_when_it_is_revoked() {
    let (world, fleet) = instance().await;
    create_app(&fleet, "shop").await;
    let web = enrol(&fleet, "web-1", &["shop"], false).await;
    let mut thief = web.welcome(&world, &fleet).await;
    never_listens(&mut thief).await;
    fleet.revoke_agent(&web.agent.agent, "stolen", &operator()).await.expect("it is known");
    fleet.forget_agent(&web.agent.agent, &operator()).await.expect("it is known");
    world.clock.advance(Duration::from_secs(2));
    let anew = enrol(&fleet, "web-1", &["shop"], false).await;
    assert_eq!(anew.agent, web.agent, "it waits for the same place");
    let welcome = tokio::time::timeout(Duration::from_secs(20), anew.welcome(&world, &fleet)).await;
    let mut agent = welcome.expect("the place is free");
    agent.send(1, 0..10, &["a"]).await;
    assert_eq!(agent.answer().await.1, stored(10));
    drop(thief);
}

#[tokio::test]
async fn an_agent_that_takes_no_answers_holds_no_memory_of_others() {
    let (world, fleet) = instance().await;
    create_app(&fleet, "shop").await;
    let web = enrol(&fleet, "web-1", &["shop"], false).await;
    let mut thief = web.welcome(&world, &fleet).await;
    // Large, and a few hundred bytes when packed.
    let line = "x".repeat(3_500_000);
    world.journal.set(Mood::Slow);
    for source in 0..18 {
        thief.send(source, 0..10, &[&line]).await;
    }
    world.journal.asked(1).await;
    never_listens(&mut thief).await;
    world.journal.set(Mood::Good);
    let used = || world.metric("weir_producer_budget_used_bytes");
    eventually("everything is given back", || used() == Some(0.0)).await;
    drop(thief);
}

#[tokio::test]
async fn an_agent_has_only_so_many_streams() {
    let (world, fleet) = instance().await;
    create_app(&fleet, "shop").await;
    let web = enrol(&fleet, "web-1", &["shop"], false).await;
    let db = enrol(&fleet, "db-1", &["shop"], false).await;
    let (token, channel) = (web.token(&fleet).await, web.channel(&world).await);
    let mut streams = Vec::new();
    let refused = loop {
        match Agent::begin(channel.clone(), Some(&token)).await {
            Ok(stream) => streams.push(stream),
            Err(status) => break status,
        }
        assert!(streams.len() < 100, "there is an end");
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(streams.len() >= 4, "connections may break: {}", streams.len());
    drop(db.welcome(&world, &fleet).await);
    drop(streams);
    eventually_welcome(&web, &world, &fleet).await;
}

/// Once the server has heard that the others have ended.
async fn eventually_welcome(member: &Member, world: &World, fleet: &Fleet) {
    let (token, channel) = (member.token(fleet).await, member.channel(world).await);
    let trying = async {
        while Agent::begin(channel.clone(), Some(&token)).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), trying).await.expect("there is room again");
}
