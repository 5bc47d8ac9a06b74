use std::time::Duration;

use weir_auth::pki::Thumbprint;
use weir_auth::token::{Audience, TokenError};
use weir_fleet::{AppLimits, CertificateRefused, Fleet, KeySpec, RevocationReason, TokenRefused};
use weir_foundation::clock::Clock;
use weir_foundation::failure::Failure;
use weir_foundation::settings::Secret;

use crate::support::{DAY, HOUR, MINUTE, Node, admin, agent, app, spec, world};

async fn token(fleet: &Fleet, node: &Node) -> Secret {
    fleet.token(node.shown()).await.expect("it is welcome").0
}

#[tokio::test]
async fn a_token_is_for_one_certificate_purpose_and_time() {
    let world = world().await;
    let (fleet, node) = (&world.fleet, world.node("node").await);
    let (token, expires) = fleet.token(node.shown()).await.expect("it is welcome");
    assert_eq!(expires.duration_since(world.clock.now()).expect("it is to come"), 10 * MINUTE);
    let shown = node.shown().thumbprint();
    let admitted = fleet.admit(&token, Audience::Ingest, Some(shown)).expect("it is good");
    assert_eq!((admitted.agent.name, admitted.agent.apps), (agent("node"), vec![app("shop")]));
    assert_eq!(admitted.expires, expires);
    fleet.admit(&token, Audience::Control, Some(shown)).expect("it is for all that an agent does");
    fleet.admit(&token, Audience::Ingest, None).expect("where TLS ended before");
    let check = |token: &Secret, audience, shown, expected: TokenError, code: &str| {
        let refused = fleet.admit(token, audience, shown).expect_err("it is not good for this");
        assert_eq!(refused.code(), code);
        assert_eq!(refused, TokenRefused::Token(expected));
    };
    let other = Some(Thumbprint::of(b"another"));
    check(&token, Audience::Ingest, other, TokenError::WrongCertificate, "bad-token");
    check(&Secret::new("x.y.z"), Audience::Ingest, None, TokenError::Malformed, "bad-token");
    let elsewhere = crate::support::world().await;
    let foreign = self::token(&elsewhere.fleet, &elsewhere.node("node").await).await;
    check(&foreign, Audience::Ingest, None, TokenError::UnknownKey, "bad-token");
    // A clock of another process may be half a minute ahead or behind.
    world.clock.advance(10 * MINUTE + Duration::from_secs(29));
    fleet.admit(&token, Audience::Ingest, Some(shown)).expect("it is good");
    world.clock.advance(Duration::from_secs(1));
    let ago = Duration::from_secs(30);
    check(&token, Audience::Ingest, Some(shown), TokenError::Expired { ago }, "token-expired");
}

#[tokio::test]
async fn a_revoked_agent_has_no_good_token() {
    let world = world().await;
    let (fleet, node) = (&world.fleet, world.node("node").await);
    let token = token(fleet, &node).await;
    let mut changes = fleet.changes();
    changes.mark_unchanged();
    fleet.revoke_agent(&node.name, "stolen", &admin()).await.expect("revoked");
    assert!(changes.has_changed().expect("the fleet lives"), "open streams are told");
    let refused = fleet.admit(&token, Audience::Ingest, None).expect_err("it is out");
    let reason = RevocationReason::Operator { by: admin(), note: "stolen".to_owned() };
    assert_eq!(refused, TokenRefused::Revoked(reason.clone()));
    assert_eq!(refused.code(), "agent-revoked");
    let refused = fleet.token(node.shown()).await.expect_err("it is out");
    assert_eq!(refused, CertificateRefused::Revoked(reason));
    fleet.forget_agent(&node.name, &admin()).await.expect("forgotten");
    assert!(matches!(fleet.admit(&token, Audience::Ingest, None), Err(TokenRefused::Revoked(_))));
    world.clock.advance(MINUTE);
    let anew = world.node("node").await;
    assert_eq!(anew.name, node.name);
    let refused = fleet.admit(&token, Audience::Ingest, None).expect_err("of another life of the name");
    assert_eq!(refused, TokenRefused::UnknownCertificate);
}

/// Whether an app may be sent for is asked with each batch, and no reason to send its agent away.
#[tokio::test]
async fn an_agent_keeps_all_its_apps() {
    let world = world().await;
    let fleet = &world.fleet;
    fleet.create_app(&app("cafe"), &AppLimits::default(), None, &admin()).await.expect("created");
    let key = world.key(KeySpec { apps: vec![app("shop"), app("cafe")], ..spec() }).await;
    let node = Node::join(fleet, &key.key, "node").await.expect("welcome");
    let token = token(fleet, &node).await;
    let off = AppLimits { enabled: false, ..AppLimits::default() };
    fleet.limit_app(&app("cafe"), &off, &admin()).await.expect("changed");
    let admitted = fleet.admit(&token, Audience::Ingest, None).expect("it is good");
    assert_eq!(admitted.agent.apps, [app("shop"), app("cafe")]);
}

/// After a renewal the former certificate is good for an hour, and tokens for it until they expire.
#[tokio::test]
async fn a_former_certificate_is_good_for_a_while() {
    let world = world().await;
    let (fleet, mut node) = (&world.fleet, world.node("node").await);
    world.clock.advance(14 * HOUR);
    let old = node.copy();
    node.renew(fleet).await.expect("it is time");
    world.clock.advance(HOUR);
    let late = token(fleet, &old).await;
    world.clock.advance(MINUTE);
    let refused = fleet.token(old.shown()).await.expect_err("it has another");
    assert_eq!(refused, CertificateRefused::Superseded);
    assert_eq!(refused.code(), "certificate-superseded");
    fleet.admit(&late, Audience::Ingest, Some(old.shown().thumbprint())).expect("it was issued in time");
    fleet.token(node.shown()).await.expect("the newest is good");
}

/// Keys that sign come every month, are known before they sign, and go when their last token has expired: no token
/// that was issued is ever refused before its time, by any process.
#[tokio::test]
async fn signing_keys_come_and_go() {
    let world = world().await;
    let other = world.another().await;
    let mut node = world.node("node").await;
    let first = world.fleet.instance().signing_keys;
    let mut tokens: Vec<(Secret, std::time::SystemTime)> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    // Steps of a minute around each change, larger ones in between.
    let mut steps = 0;
    while world.clock.now().duration_since(first[0].made).expect("time passes") < 130 * DAY {
        let keys = world.fleet.instance().signing_keys;
        let newest = keys.last().expect("there is one");
        let old = world.clock.now().duration_since(newest.made).expect("it was made");
        let step = match old {
            _ if old < 50 * MINUTE => 10 * MINUTE,
            _ if old < 90 * MINUTE => MINUTE,
            _ if old < 30 * DAY - 6 * HOUR => 6 * HOUR,
            _ => 7 * MINUTE,
        };
        world.pass(step).await;
        other.refresh().await.expect("read");
        steps += 1;
        if node.renew_at <= world.clock.now() {
            node.renew(&world.fleet).await.expect("it is time");
            other.refresh().await.expect("read");
        }
        let now = world.clock.now();
        tokens.retain(|(_, expires)| *expires > now);
        for (token, _) in &tokens {
            for fleet in [&world.fleet, &other] {
                fleet.admit(token, Audience::Ingest, None).expect("its time is not over");
            }
        }
        for fleet in [&world.fleet, &other] {
            tokens.push(fleet.token(node.shown()).await.expect("it is welcome"));
        }
        let keys = world.fleet.instance().signing_keys;
        assert!(keys.len() <= 2, "{keys:?}");
        seen.extend(keys.into_iter().map(|key| key.id));
    }
    assert!(steps > 500 && seen.len() == 5, "{steps} {}", seen.len());
    assert!(!world.fleet.instance().signing_keys.iter().any(|key| key.id == first[0].id));
}

/// A process that is not told of the next key for most of an hour takes all tokens meanwhile.
#[tokio::test]
async fn new_signing_keys_are_known_before_they_sign() {
    let world = world().await;
    let mut node = world.node("node").await;
    for _ in 0..59 {
        world.pass(12 * HOUR).await;
        node.renew(&world.fleet).await.expect("it may");
    }
    let behind = world.another().await;
    while world.fleet.instance().signing_keys.len() == 1 {
        world.pass(HOUR).await;
    }
    assert_eq!(behind.instance().signing_keys.len(), 1, "it was not told");
    for _ in 0..59 {
        let token = token(&world.fleet, &node).await;
        behind.admit(&token, Audience::Ingest, None).expect("it is signed with a key that all know");
        world.pass(MINUTE).await;
    }
}

/// An agent that joined through another process a moment ago is found.
#[tokio::test]
async fn who_is_not_known_here_is_looked_for() {
    let world = world().await;
    let other = world.another().await;
    let node = world.node("node").await;
    assert!(other.agent(&node.name).is_none(), "nobody told it");
    let token = token(&other, &node).await;
    other.admit(&token, Audience::Ingest, None).expect("it is good");
    let mut stranger = node.copy();
    stranger.chain.clone_from(&crate::support::world().await.node("node").await.chain);
    let refused = other.token(stranger.shown()).await.expect_err("of another instance");
    assert_eq!(refused.code(), "unknown-certificate");
}
