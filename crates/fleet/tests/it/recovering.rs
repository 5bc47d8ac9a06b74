use weir_auth::pki::{Authority, CheckedRequest, PrivateKey};
use weir_fleet::{Fleet, RecoverError, RecoverRequest, RenewError};
use weir_foundation::clock::Clock;
use weir_foundation::failure::Failure;

use crate::support::{DAY, MINUTE, Node, admin, agent, out, world};

fn private(node: &Node) -> PrivateKey {
    PrivateKey::from_pkcs8(&node.key).expect("it is a key")
}

/// What a node asks whose certificate has ended.
pub(crate) async fn recover(fleet: &Fleet, node: &Node, next: &PrivateKey) -> Result<Node, RecoverError> {
    let request = next.request();
    let signature = private(node).sign(&request);
    let request = RecoverRequest {
        lost: node.shown(),
        generation: node.generation,
        csr: &request,
        signature: &signature,
    };
    Ok(Node::of(fleet.recover(request).await?, next))
}

#[tokio::test]
async fn one_that_was_away_for_long_comes_back() {
    let world = world().await;
    let node = world.node("node").await;
    world.pass(3 * DAY).await;
    let next = PrivateKey::generate();
    let renewed = recover(&world.fleet, &node, &next).await.expect("it has the key");
    assert_eq!((renewed.generation, renewed.name.clone()), (2, node.name.clone()));
    assert!(renewed.shown().not_after() > world.clock.now());
    // The answer got lost.
    let again = recover(&world.fleet, &node, &next).await.expect("it is the same");
    assert_eq!(again.generation, 2);
    // Who has a copy of the key is found out as always.
    world.pass(MINUTE * 5).await;
    let copied = recover(&world.fleet, &node, &PrivateKey::generate()).await.expect_err("it is a copy");
    assert!(matches!(copied, RecoverError::Renew(RenewError::Cloned(_))), "{copied:?}");
}

#[tokio::test]
async fn nobody_comes_back_as_another() {
    let world = world().await;
    let node = world.node("node").await;
    world.pass(3 * DAY).await;
    let request = PrivateKey::generate().request();
    let check = async |lost, signature: &[u8], code: &str| {
        let request = RecoverRequest { lost, generation: 1, csr: &request, signature };
        let refused = world.fleet.recover(request).await.expect_err("it is somebody else");
        assert_eq!(refused.code(), code, "{refused:?}");
        assert_eq!(out(&world.fleet, &node.name), None, "nobody is locked by that");
    };
    // Without its key; with a signature of something else.
    let stranger = PrivateKey::generate();
    check(node.shown(), &stranger.sign(&request), "unknown-certificate").await;
    check(node.shown(), &private(&node).sign(b"something else"), "unknown-certificate").await;
    check(node.shown(), b"", "unknown-certificate").await;
    // With a certificate that says its name, by an authority that calls itself as this instance does.
    let root = Authority::root(&world.fleet.instance().id, world.clock.now(), DAY).expect("anybody can");
    let forger = root.intermediate(world.clock.now(), DAY).expect("anybody can");
    let own = CheckedRequest::read(&stranger.request()).expect("it is one");
    let forged = forger.issue_agent(&own, &agent("node"), world.clock.now(), DAY).expect("anybody can");
    check(&forged, &stranger.sign(&request), "unknown-certificate").await;
    // One that is out stays out.
    world.fleet.revoke_agent(&node.name, "", &admin()).await.expect("it is known");
    let refused = recover(&world.fleet, &node, &PrivateKey::generate()).await.expect_err("it is out");
    assert_eq!(refused.code(), "agent-revoked");
}
