use weir_fleet::{
    ConfigurationHash, ConfigurationView, ConfigureError, FailedConfiguration, Fleet, KeySpec, Report,
    RollBackError, Selector, WithdrawError,
};
use weir_foundation::failure::Failure;
use weir_foundation::settings::{Problem, Problems};
use weir_state::{Kind, State};

use crate::support::{Node, admin, agent, labels, operator, spec, world};

fn anything(_: &str) -> Result<(), Problems> {
    Ok(())
}

fn selector(text: &str) -> Selector {
    text.parse().expect("legal")
}

async fn set(fleet: &Fleet, of: &str, text: &str) -> ConfigurationView {
    fleet.configure(&selector(of), text, "", &anything, &admin()).await.expect("configured")
}

#[tokio::test]
async fn agents_have_what_fits_them_best() {
    let world = world().await;
    let fleet = &world.fleet;
    for (name, of) in [("plain", ""), ("eu", "zone=eu"), ("rack", "zone=eu,rack=7")] {
        let key = world.key(KeySpec { labels: labels(of), ..spec() }).await;
        Node::join(fleet, &key.key, name).await.expect("welcome");
    }
    let has = |name: &str| fleet.configuration_of(&agent(name)).map(|view| view.text.to_string());
    let check = |plain: Option<&str>, eu: Option<&str>, rack: Option<&str>| {
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        assert_eq!((has("plain"), has("eu"), has("rack")), (owned(plain), owned(eu), owned(rack)));
    };
    check(None, None, None);
    set(fleet, "zone=eu", "europe").await;
    check(None, Some("europe"), Some("europe"));
    set(fleet, "*", "all").await;
    check(Some("all"), Some("europe"), Some("europe"));
    set(fleet, "rack=7,zone=eu", "seven").await;
    check(Some("all"), Some("europe"), Some("seven"));
    set(fleet, "agent=plain", "mine").await;
    check(Some("mine"), Some("europe"), Some("seven"));
    // Who is named is not overruled by what is said of many.
    set(fleet, "agent=rack", "its own").await;
    check(Some("mine"), Some("europe"), Some("its own"));
    set(fleet, "rack=7,zone=eu", "seven again").await;
    check(Some("mine"), Some("europe"), Some("its own"));
    assert_eq!(fleet.agents_with(&selector("rack=7,zone=eu")), []);
    fleet.withdraw_configuration(&selector("agent=rack"), &admin()).await.expect("withdrawn");
    check(Some("mine"), Some("europe"), Some("seven again"));
    fleet.withdraw_configuration(&selector("zone=eu,rack=7"), &admin()).await.expect("withdrawn");
    check(Some("mine"), Some("europe"), Some("europe"));
    set(fleet, "rack=7", "newer").await;
    check(Some("mine"), Some("europe"), Some("newer"));
    assert_eq!(fleet.configuration_of(&agent("nobody")), None);
    assert_eq!(fleet.configurations().len(), 4);
}

#[tokio::test]
async fn revisions_grow_and_texts_stay() {
    let world = world().await;
    let (fleet, all) = (&world.fleet, selector("*"));
    let first = fleet.configure(&all, "one", "why", &anything, &operator("ann")).await.expect("configured");
    assert_eq!((first.revision, first.note.as_str(), first.made_by.clone()), (1, "why", operator("ann")));
    assert_eq!((first.hash.clone(), first.restores), (ConfigurationHash::of("one"), None));
    let again = set(fleet, "*", "one").await;
    assert_eq!(again, first, "what they have already stays what it is");
    let (second, other) = (set(fleet, "*", "two").await, set(fleet, "zone=eu", "one").await);
    assert_eq!((second.revision, other.revision), (2, 3));
    let history: Vec<_> = fleet.configuration_history(&all).into_iter().map(|view| view.revision).collect();
    assert_eq!(history, [2, 1]);
    let back = fleet.roll_back(&all, 1, &admin()).await.expect("it is kept");
    assert_eq!((back.revision, &*back.text, back.note.as_str(), back.restores), (4, "one", "why", Some(1)));
    assert_eq!(back.hash, first.hash);
    for (of, revision) in [("*", 3), ("*", 5), ("*", 0), ("zone=us", 1)] {
        let refused =
            fleet.roll_back(&selector(of), revision, &admin()).await.expect_err("they never had it");
        assert!(matches!(refused, RollBackError::Unknown { .. }), "{of} {revision}");
        assert_eq!(refused.code(), "unknown-configuration");
    }
    assert_eq!(fleet.configuration(2), Some(second));
    assert_eq!(fleet.configuration(9), None);
    let another = world.another().await;
    assert_eq!(another.configuration_history(&all), fleet.configuration_history(&all));
    fleet.withdraw_configuration(&all, &admin()).await.expect("withdrawn");
    assert_eq!(fleet.configuration_history(&all), []);
    assert!(matches!(fleet.withdraw_configuration(&all, &admin()).await, Err(WithdrawError::Unknown(_))));
    assert_eq!(set(fleet, "*", "three").await.revision, 5, "a number is used once");
}

/// As once its cause is mended.
#[tokio::test]
async fn what_did_not_work_somewhere_is_set_again() {
    let world = world().await;
    let (fleet, node) = (&world.fleet, world.node("node").await);
    let first = set(fleet, "*", "one").await;
    let failed = |text: &str| Report {
        failed: Some(FailedConfiguration { hash: ConfigurationHash::of(text), reason: "denied".to_owned() }),
        ..Report::default()
    };
    fleet.report(&node.name, failed("another"));
    assert_eq!(set(fleet, "*", "one").await, first);
    fleet.report(&node.name, failed("one"));
    assert_eq!(set(fleet, "*", "one").await.revision, 2);
}

#[tokio::test]
async fn what_agents_would_not_take_is_not_stored() {
    let world = world().await;
    let fleet = &world.fleet;
    let check = |text: &str| match text {
        "good" => Ok(()),
        _ => {
            let mut problems = Problems::default();
            problems.push(Problem::at("agent.batch", "is no size"));
            Err(problems)
        }
    };
    let refused = fleet.configure(&selector("*"), "bad", "", &check, &admin()).await.expect_err("it is bad");
    assert_eq!(refused.code(), "bad-configuration");
    let ConfigureError::Problems(problems) = refused else { unreachable!("{refused:?}") };
    assert!(problems.to_string().contains("agent.batch: is no size"));
    let large = fleet.configure(&selector("*"), &"x".repeat((1 << 20) + 1), "", &anything, &admin()).await;
    assert!(matches!(large, Err(ConfigureError::TooLarge(_))));
    for text in ["a\0b", "a\u{1b}[2J", "a\u{7f}", "a\u{85}"] {
        let control = fleet.configure(&selector("*"), text, "", &anything, &admin()).await;
        assert!(matches!(control, Err(ConfigureError::Characters)), "{text:?}");
    }
    assert_eq!(fleet.configurations(), []);
    fleet.configure(&selector("*"), "good", "", &check, &admin()).await.expect("it is good");
    let quotes = "\"".repeat(1 << 20);
    fleet.configure(&selector("*"), &quotes, "", &anything, &admin()).await.expect("it fits");
}

/// Of each selector the last fifty are kept.
#[tokio::test]
async fn history_is_bounded() {
    let world = world().await;
    let fleet = &world.fleet;
    for number in 0..60 {
        set(fleet, "*", &format!("number {number}")).await;
    }
    let history = fleet.configuration_history(&selector("*"));
    assert_eq!((history.len(), history[0].revision, history[49].revision), (50, 60, 11));
    assert!(fleet.roll_back(&selector("*"), 10, &admin()).await.is_err());
    fleet.roll_back(&selector("*"), 11, &admin()).await.expect("the oldest that is kept");
    let stored = world.state.list(Kind::new("configuration")).await.expect("listed");
    assert_eq!(stored.len(), 50);
}

/// Two processes number together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revisions_are_of_the_instance() {
    let world = world().await;
    let fleets = [world.fleet.clone(), world.another().await];
    let sets = (0..24_usize).map(|number| {
        let fleet = &fleets[number % 2];
        async move { set(fleet, &format!("zone=z{}", number % 3), &format!("text {number}")).await.revision }
    });
    let mut revisions = futures_util::future::join_all(sets).await;
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=24).collect::<Vec<u64>>());
}
