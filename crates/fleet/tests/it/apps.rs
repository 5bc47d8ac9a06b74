use std::num::NonZeroU32;

use weir_fleet::{
    AppLimits, AppTerms, BadSecret, ChangeAppError, CreateAppError, NewSecret, RemoveAppError, SecretRefused,
};
use weir_foundation::failure::Failure;
use weir_foundation::settings::Secret;
use weir_model::IndexPrefix;
use weir_state::{Kind, State};

use crate::support::{DAY, Node, admin, app, spec, world};

fn given(secret: &str) -> NewSecret {
    NewSecret::Given(Secret::new(secret))
}

fn limits(max_tps: u32, prefix: &str) -> AppLimits {
    AppLimits {
        max_tps: NonZeroU32::new(max_tps),
        index_prefix: IndexPrefix::new(prefix).ok(),
        enabled: true,
    }
}

#[tokio::test]
async fn apps_have_terms_and_secrets() {
    let world = world().await;
    let fleet = &world.fleet;
    let secret =
        fleet.create_app(&app("cafe"), &limits(50, "cafe-eu"), Some(&NewSecret::Random), &admin()).await;
    let secret = secret.expect("created").expect("it is one of ours");
    assert!(secret.reveal().starts_with("weira1_"));
    let terms = AppTerms {
        name: app("cafe"),
        max_tps: NonZeroU32::new(50),
        index_prefix: IndexPrefix::new("cafe-eu").ok(),
        enabled: true,
        has_secret: true,
    };
    assert_eq!(fleet.app(&app("cafe")), Some(terms.clone()));
    assert_eq!(fleet.check_secret(&app("cafe"), &secret), Ok(terms.clone()));
    assert_eq!(fleet.app(&app("Cafe")), None);
    assert!(!fleet.app(&app("shop")).expect("it is there").has_secret);
    let taken =
        fleet.create_app(&app("cafe"), &AppLimits::default(), None, &admin()).await.expect_err("taken");
    assert!(matches!(taken, CreateAppError::NameTaken(_)));
    for entry in world.state.list(Kind::new("app")).await.expect("listed") {
        assert!(!String::from_utf8_lossy(&entry.value).contains(&secret.reveal()[7..]));
    }
}

/// An app that is not there, one without a secret and a wrong secret.
#[tokio::test]
async fn wrong_secrets_look_alike() {
    let world = world().await;
    let fleet = &world.fleet;
    fleet
        .create_app(&app("cafe"), &AppLimits::default(), Some(&NewSecret::Random), &admin())
        .await
        .expect("created");
    for (name, secret) in
        [("cafe", "wrong"), ("cafe", ""), ("shop", "wrong"), ("shop", ""), ("none", "wrong"), ("none", "")]
    {
        let refused = fleet.check_secret(&app(name), &Secret::new(secret)).expect_err("it is wrong");
        assert_eq!(refused, SecretRefused::Wrong, "{name} {secret}");
        assert_eq!(refused.to_string(), "this is not the secret of the app");
    }
}

#[tokio::test]
async fn secrets_change_without_a_gap() {
    let world = world().await;
    let (fleet, cafe) = (&world.fleet, app("cafe"));
    let old = "an old secret of clients";
    fleet.create_app(&cafe, &AppLimits::default(), Some(&given(old)), &admin()).await.expect("created");
    let fits = |secret: &str| fleet.check_secret(&cafe, &Secret::new(secret)).is_ok();
    assert!(fits(old));
    let new = fleet.add_app_secret(&cafe, &NewSecret::Random, &admin()).await.expect("added").expect("ours");
    assert!(fits(old) && fits(new.reveal()));
    let full = fleet.add_app_secret(&cafe, &NewSecret::Random, &admin()).await.expect_err("there are two");
    assert!(matches!(full, ChangeAppError::SecretsFull(_)));
    fleet.end_app_secrets(&cafe, 1, &admin()).await.expect("ended");
    assert!(!fits(old) && fits(new.reveal()));
    fleet.end_app_secrets(&cafe, 0, &admin()).await.expect("ended");
    assert!(!fits(new.reveal()) && !fleet.app(&cafe).expect("it is there").has_secret);
}

#[tokio::test]
async fn given_secrets_are_long_and_of_one_app() {
    let world = world().await;
    let fleet = &world.fleet;
    let create = async |name: &str, secret: &str| {
        fleet.create_app(&app(name), &AppLimits::default(), Some(&given(secret)), &admin()).await
    };
    let is = |outcome: Result<_, CreateAppError>, expected: BadSecret| {
        assert!(matches!(outcome, Err(CreateAppError::Secret(bad)) if bad == expected), "{outcome:?}");
    };
    is(create("a", "fifteen letters").await, BadSecret::Length);
    is(create("a", &"x".repeat(1025)).await, BadSecret::Length);
    create("a", "sixteen letters!").await.expect("long enough");
    is(create("b", "sixteen letters!").await, BadSecret::OfAnother);
    let again = fleet.add_app_secret(&app("a"), &given("sixteen letters!"), &admin()).await;
    assert!(again.is_ok(), "its own");
}

#[tokio::test]
async fn what_is_disabled_is_refused_and_comes_back() {
    let world = world().await;
    let (fleet, cafe) = (&world.fleet, app("cafe"));
    let secret = fleet.create_app(&cafe, &limits(9, "cafe"), Some(&NewSecret::Random), &admin()).await;
    let secret = secret.expect("created").expect("ours");
    let off = AppLimits { enabled: false, ..limits(9, "cafe") };
    fleet.limit_app(&cafe, &off, &admin()).await.expect("changed");
    assert_eq!(fleet.check_secret(&cafe, &secret), Err(SecretRefused::Disabled));
    assert_eq!(fleet.check_secret(&cafe, &Secret::new("wrong")), Err(SecretRefused::Wrong));
    fleet.limit_app(&cafe, &limits(10, "tea"), &admin()).await.expect("changed");
    let terms = fleet.check_secret(&cafe, &secret).expect("it is enabled");
    assert_eq!((terms.max_tps, terms.index_prefix), (NonZeroU32::new(10), IndexPrefix::new("tea").ok()));
    let unknown = fleet.limit_app(&app("none"), &off, &admin()).await.expect_err("it is not there");
    assert_eq!(unknown.code(), "unknown-app");
}

#[tokio::test]
async fn an_app_that_is_in_use_stays() {
    let world = world().await;
    let (fleet, shop) = (&world.fleet, app("shop"));
    let remove = async || fleet.remove_app(&shop, &admin()).await;
    let key = world.key(spec()).await;
    assert!(matches!(remove().await, Err(RemoveAppError::InUse { agents: 0, keys: 1 })));
    Node::join(fleet, &key.key, "node").await.expect("welcome");
    let in_use = remove().await.expect_err("it has an agent");
    assert!(matches!(in_use, RemoveAppError::InUse { agents: 1, keys: 0 }), "{in_use}");
    world.pass(2 * DAY).await;
    remove().await.expect("its agent has ended");
    assert_eq!(fleet.app(&shop), None);
    assert!(matches!(remove().await, Err(RemoveAppError::Unknown(_))));
}
