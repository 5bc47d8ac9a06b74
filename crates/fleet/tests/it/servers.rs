//! Proxies in front of servers: what they show, and whom they speak for.

use weir_auth::pki::{Identity, IssueError, PrivateKey};
use weir_fleet::{CertifiedServer, CertifyError, Finish, Fleet, KeySpec, ServerRequest};
use weir_foundation::clock::Clock;
use weir_foundation::failure::Failure;

use crate::support::{DAY, HOUR, admin, is_known, spec, world, would_join};

fn names() -> Vec<String> {
    vec!["proxy.example".to_owned()]
}

/// A proxy with a certificate of that moment.
fn proxy(fleet: &Fleet) -> Identity {
    let (key, names) = (PrivateKey::generate(), names());
    let request = ServerRequest { csr: &key.request_pem(), names: &names, life: None };
    let CertifiedServer { chain, .. } = fleet.certify_server(request, &admin()).expect("issued");
    Identity::new(chain, key).expect("it is for this key")
}

#[tokio::test]
async fn agents_and_nodes_take_it_for_the_server() {
    let world = world().await;
    let fleet = &world.fleet;
    let proxy = proxy(fleet);
    assert_eq!(proxy.not_after(), world.clock.now() + 30 * DAY);
    let node = world.node("node").await;
    assert!(node.connects(fleet, &proxy, &world.clock));
    let key = world.key(spec()).await;
    assert!(would_join(&key.key, &proxy, &world.clock));
    // It ends with its authority.
    let own = PrivateKey::generate();
    let (csr, names) = (own.request_pem(), names());
    let request = ServerRequest { csr: &csr, names: &names, life: Some(400 * DAY) };
    let issued = fleet.certify_server(request, &admin()).expect("issued");
    assert_eq!(issued.chain[0].not_after(), fleet.instance().issuing_until);
    assert_eq!(issued.roots, fleet.instance().roots);
}

#[tokio::test]
async fn what_can_not_be_used_is_refused() {
    let world = world().await;
    let good = PrivateKey::generate().request_pem();
    let check = |csr: &str, names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let request = ServerRequest { csr, names: &names, life: None };
        let refused = world.fleet.certify_server(request, &admin()).expect_err("it is of no use");
        assert_eq!(refused.code(), "bad-csr", "{refused}");
        refused
    };
    assert!(matches!(check("", &["proxy"]), CertifyError::Request(_)));
    assert!(matches!(check(&good, &[]), CertifyError::Names));
    assert!(matches!(check(&good, &["proxy"; 33]), CertifyError::Names));
    assert!(matches!(check(&good, &["proxy", "a b"]), CertifyError::Issue(IssueError::Name(_))));
}

/// While the root is changed each of those who need it finds somebody whom he trusts.
#[tokio::test]
async fn it_is_below_the_root_that_everybody_knows() {
    let world = world().await;
    let fleet = &world.fleet;
    let mut node = world.node("node").await;
    let key = world.key(spec()).await;
    let pins = |proxy: &Identity| proxy.chain().last().expect("it has a root").pin();
    let old = fleet.instance().pins[0];
    fleet.begin_rotation(&admin()).await.expect("begun");
    assert_eq!(pins(&proxy(fleet)), old);
    fleet.switch_rotation(&admin()).await.expect("switched");
    assert_eq!(pins(&proxy(fleet)), old, "the agent and the key know no other");
    world.pass(2 * HOUR).await;
    node.renew(fleet).await.expect("it may");
    assert_eq!(pins(&proxy(fleet)), old, "the agent has not shown that it got it");
    fleet.check_certificate(node.shown()).await.expect("it is good");
    let usable = world.key(KeySpec { life: None, ..spec() }).await;
    assert_eq!((fleet.rotation_status().keys, pins(&proxy(fleet))), (Vec::new(), fleet.instance().pins[1]));
    assert!(would_join(&usable.key, &proxy(fleet), &world.clock));
    assert!(!would_join(&key.key, &proxy(fleet), &world.clock), "its time is over, too");
    let new = fleet.instance().pins[1];
    let next = proxy(fleet);
    assert_eq!(pins(&next), new, "nobody needs the old one");
    assert!(node.connects(fleet, &next, &world.clock));
    assert!(is_known(&node, fleet, &world.clock));
    fleet.finish_rotation(Finish::WhenReady, &admin()).await.expect("finished");
    assert!(node.connects(fleet, &next, &world.clock), "it goes on with what it was given before");
    assert_eq!(pins(&proxy(fleet)), new);
}

/// A proxy says nothing of the authority between: it is known, after it was followed by another one as well.
#[tokio::test]
async fn agents_are_known_by_their_certificate_alone() {
    let world = world().await;
    let fleet = &world.fleet;
    while fleet.instance().between.len() == 1 {
        let node = world.node("node").await;
        world.pass(HOUR).await;
        assert!(is_known(&node, fleet, &world.clock), "its authority was followed by another one");
        assert!(is_known(&world.node("new").await, &world.another().await, &world.clock));
        world.clock.advance(5 * DAY);
    }
    // Those who can vouch for nobody any more are forgotten.
    for _ in 0..100 {
        world.pass(10 * DAY).await;
        let between = fleet.instance().between;
        assert!(between.len() <= 2, "{between:?}");
        assert!(between.iter().all(|own| own.not_after() + DAY > world.clock.now() - 40 * DAY));
    }
}
