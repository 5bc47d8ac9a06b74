use weir_fleet::{CreateOperatorError, CreatedOperator, OperatorRefused, RemoveOperatorError};
use weir_foundation::clock::Clock;
use weir_foundation::failure::Failure;
use weir_foundation::settings::Secret;
use weir_state::{Kind, State};

use crate::support::{DAY, HOUR, admin, operator, world};

#[tokio::test]
async fn tokens_are_of_operators() {
    let world = world().await;
    let fleet = &world.fleet;
    let create = async |name: &str, life, by: &str| {
        fleet.create_operator(&operator(name), life, Some(&operator(by))).await.expect("created")
    };
    let CreatedOperator { token: ann, expires: None } = create("ann", None, "admin").await else {
        panic!("there is no end to her token");
    };
    let CreatedOperator { token: bob, expires } = create("bob", Some(DAY), "ann").await;
    assert_eq!(expires, Some(world.clock.now() + DAY));
    assert!(ann.reveal().starts_with("weiro1_"));
    assert_eq!(fleet.check_operator(&ann), Ok(operator("ann")));
    assert_eq!(fleet.check_operator(&bob), Ok(operator("bob")));
    assert_eq!(fleet.check_operator(&world.first_operator), Ok(admin()));
    for wrong in ["", "weiro1_", &ann.reveal()[..ann.reveal().len() - 1], &format!("{} ", ann.reveal())] {
        assert_eq!(fleet.check_operator(&Secret::new(wrong)), Err(OperatorRefused), "{wrong}");
    }
    let taken = fleet.create_operator(&operator("ann"), None, Some(&admin())).await.expect_err("it is taken");
    assert!(matches!(taken, CreateOperatorError::NameTaken(_)));
    assert_eq!(taken.code(), "name-taken");
    let listed: Vec<_> = fleet.operators().into_iter().map(|view| (view.name, view.made_by)).collect();
    let by = |name| Some(operator(name));
    assert_eq!(listed, [(admin(), None), (operator("ann"), by("admin")), (operator("bob"), by("ann"))]);
    world.clock.advance(DAY - HOUR);
    assert_eq!(fleet.check_operator(&bob), Ok(operator("bob")));
    world.clock.advance(HOUR);
    assert_eq!(fleet.check_operator(&bob), Err(OperatorRefused), "his time is over");
    assert_eq!(fleet.check_operator(&ann), Ok(operator("ann")));
}

/// What is kept is of no use to whoever reads it.
#[tokio::test]
async fn only_hashes_are_kept() {
    let world = world().await;
    let secret = world.first_operator.reveal();
    for entry in world.state.list(Kind::new("operator")).await.expect("listed") {
        let text = String::from_utf8(entry.value).expect("it is JSON");
        assert!(!text.contains(&secret[7..]), "{text}");
    }
}

#[tokio::test]
async fn the_last_operator_stays() {
    let world = world().await;
    let fleet = &world.fleet;
    let remove = async |name: &str| fleet.remove_operator(&operator(name), &admin()).await;
    assert!(matches!(remove("nobody").await, Err(RemoveOperatorError::Unknown(_))));
    assert!(matches!(remove("admin").await, Err(RemoveOperatorError::Last(_))));
    fleet.create_operator(&operator("guest"), Some(HOUR), Some(&admin())).await.expect("created");
    let last = remove("admin").await.expect_err("a guest is gone in an hour");
    assert_eq!(last.code(), "last-operator");
    let ann = fleet.create_operator(&operator("ann"), None, Some(&admin())).await.expect("created").token;
    remove("admin").await.expect("ann stays");
    remove("guest").await.expect("ann stays");
    assert!(matches!(remove("ann").await, Err(RemoveOperatorError::Last(_))));
    assert_eq!(fleet.check_operator(&ann), Ok(operator("ann")));
    assert_eq!(fleet.check_operator(&world.first_operator), Err(OperatorRefused));
}

/// Each of two removes the other: one of them stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_do_not_remove_each_other() {
    for _ in 0..20 {
        let world = world().await;
        let other = world.another().await;
        world.fleet.create_operator(&operator("ann"), None, Some(&admin())).await.expect("created");
        let (admin, ann) = (admin(), operator("ann"));
        let one = world.fleet.remove_operator(&admin, &ann);
        let two = other.remove_operator(&ann, &admin);
        let (one, two) = futures_util::future::join(one, two).await;
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    }
}
