use std::sync::Arc;

use weir_fleet::{AgentsToo, AppLimits, Finish, Fleet, NewSecret, OpenError, RenewRequest, Selector};
use weir_foundation::clock::Clock;
use weir_foundation::failure::{Failure, chain};
use weir_state::memory::MemoryState;
use weir_state::{Expect, Kind, State};

use crate::support::{admin, app, clock, open, settings, spec, world};

const INSTANCE: Kind = Kind::new("instance");

#[tokio::test]
async fn an_instance_is_made_once() {
    let world = world().await;
    let another = world.another().await;
    let (one, other) = (world.fleet.instance(), another.instance());
    assert_eq!(one.id, other.id);
    assert_eq!(one.pins, other.pins);
    assert_eq!(one.seal, other.seal);
    assert_eq!((one.bundle, one.roots.len(), one.signing_keys.len()), (1, 1, 1));
    assert_eq!(another.check_operator(&world.first_operator), Ok(admin()));
    assert_eq!(another.operators().len(), 1);
}

/// Processes that begin at the same time have one instance, and one of them shows the token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_begin_at_once_make_one_instance() {
    let (state, clock) = (MemoryState::default(), clock());
    let opened = futures_util::future::join_all((0..8).map(|_| open(state.clone(), &clock))).await;
    let instances: std::collections::BTreeSet<_> =
        opened.iter().map(|(fleet, _)| fleet.instance().id).collect();
    assert_eq!(instances.len(), 1);
    let tokens: Vec<_> = opened.iter().filter_map(|(_, first)| first.as_ref()).collect();
    assert_eq!(tokens.len(), 1);
    for (fleet, _) in &opened {
        assert_eq!(fleet.check_operator(tokens[0]), Ok(admin()));
    }
}

/// Keys that can not be read stop the process and are not made anew, and nothing of them is in the error.
#[tokio::test]
async fn damaged_keys_are_not_replaced() {
    let world = world().await;
    let entry = world.state.get(INSTANCE, "instance").await.expect("read").expect("it is there");
    let text = String::from_utf8(entry.value).expect("it is JSON");
    let key = text.split("\"key\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("it has a key");
    let check = async |damaged: String, code: &str| {
        let state = MemoryState::default();
        state
            .commit(&[INSTANCE.key("instance").put(Expect::Any, damaged.clone().into_bytes())])
            .await
            .expect("written");
        let opened = Fleet::open(Arc::new(state.clone()), Arc::new(clock()), settings()).await;
        let error: OpenError = opened.expect_err("it can not be used");
        assert_eq!(error.code(), code, "{error}");
        let told = format!("{} {error:?}", chain(&error));
        assert!(!told.contains(key) && !told.contains(&key[10..40]), "{told}");
        let kept = state.get(INSTANCE, "instance").await.expect("read").expect("it is there");
        assert!(kept.value == damaged.into_bytes());
    };
    check("{}".to_owned(), "state-damaged").await;
    check(text[..text.len() - 10].to_owned(), "state-damaged").await;
    check(text.replacen("\"seal\":\"", "\"later\":true,\"seal\":\"", 1), "state-damaged").await;
    check(text.replacen(key, &key[4..], 1), "instance-keys").await;
    check(text.replacen(key, &format!("{key}!"), 1), "state-damaged").await;
    check(text.replacen(&format!("\"{key}\""), &format!("[\"{key}\"]"), 1), "state-damaged").await;
    check(text.replacen("\"seal\":\"", "\"seal\":\"AAAA", 1), "instance-keys").await;
}

/// No key is shown by what prints the handle.
#[tokio::test]
async fn nothing_secret_is_printed() {
    let world = world().await;
    let entry = world.state.get(INSTANCE, "instance").await.expect("read").expect("it is there");
    let text = String::from_utf8(entry.value).expect("it is JSON");
    let keys: Vec<&str> =
        text.split("\"key\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(keys.len(), 3, "of the root, the authority below it, and of tokens");
    let printed = format!("{:?} {:?}", world.fleet, world.fleet.instance());
    for key in keys {
        assert!(key.len() > 40 && !printed.contains(&key[..20]), "{printed}");
    }
}

/// Handlers run on threads of a runtime: what they wait for can be sent.
#[tokio::test]
async fn operations_can_be_sent() {
    fn sendable<T: Send>(operation: T) {
        drop(operation);
    }
    let world = world().await;
    let (fleet, node, by) = (&world.fleet, world.node("node").await, admin());
    let (key, shop, all) = (fleet.keys()[0].id.clone(), app("shop"), Selector::everybody());
    let (limits, random, anything) = (AppLimits::default(), NewSecret::Random, |_: &str| Ok(()));
    sendable(fleet.create_operator(&by, None, None));
    sendable(fleet.remove_operator(&by, &by));
    sendable(fleet.create_app(&shop, &limits, None, &by));
    sendable(fleet.limit_app(&shop, &limits, &by));
    sendable(fleet.add_app_secret(&shop, &random, &by));
    sendable(fleet.end_app_secrets(&shop, 1, &by));
    sendable(fleet.remove_app(&shop, &by));
    sendable(fleet.create_key(&spec(), &by));
    sendable(fleet.revoke_key(&key, AgentsToo::Revoke, &by));
    sendable(fleet.revoke_agent(&node.name, "", &by));
    sendable(fleet.forget_agent(&node.name, &by));
    sendable(fleet.check_certificate(node.shown()));
    sendable(fleet.token(node.shown()));
    sendable(fleet.renew(RenewRequest { shown: node.shown(), generation: 1, csr: b"" }));
    sendable(fleet.configure(&all, "", "", &anything, &by));
    sendable(fleet.roll_back(&all, 1, &by));
    sendable(fleet.withdraw_configuration(&all, &by));
    sendable(fleet.begin_rotation(&by));
    sendable(fleet.switch_rotation(&by));
    sendable(fleet.finish_rotation(Finish::Force, &by));
    sendable(fleet.maintain(world.clock.now()));
    sendable(fleet.follow());
}
