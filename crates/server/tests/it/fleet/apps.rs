use reqwest::Method;
use serde_json::{Value, json};
use weir_fleet::{Fleet, SecretRefused};
use weir_foundation::settings::Secret;
use weir_model::AppName;

use super::text;
use crate::world::World;

fn fits(fleet: &Fleet, app: &str, secret: &str) -> Result<(), SecretRefused> {
    fleet.check_secret(&AppName::new(app).expect("is legal"), &Secret::new(secret)).map(drop)
}

#[tokio::test]
async fn an_app_is_made_and_its_secret_shown_once() {
    let world = World::new().await;
    let wanted = json!({ "app": "shop", "max_tps": 5000, "index_prefix": "store" });
    let answer = world.tell("/api/v1/apps", wanted).await;
    let secret = text(&answer["secret"]);
    assert!(secret.starts_with("weira1_"));
    assert_eq!(fits(world.fleet(), "shop", secret), Ok(()));
    let app = world.look("/api/v1/apps/shop").await;
    let expected = json!({
        "app": "shop", "enabled": true, "max_tps": 5000, "index_prefix": "store", "secrets": 1,
        "made": app["made"], "made_by": "admin",
    });
    assert_eq!(app, expected);
    assert_eq!(world.look("/api/v1/apps").await, json!({ "apps": [expected] }));
}

#[tokio::test]
async fn a_secret_that_clients_have_is_kept_and_not_shown() {
    let world = World::new().await;
    let given = "0123456789abcdef";
    let answer = world.tell("/api/v1/apps", json!({ "app": "old", "secret": given })).await;
    assert_eq!(answer, json!({ "app": "old" }));
    assert_eq!(fits(world.fleet(), "old", given), Ok(()));
}

#[tokio::test]
async fn only_what_is_named_changes() {
    let world = World::new().await;
    world.tell("/api/v1/apps", json!({ "app": "shop", "max_tps": 5, "index_prefix": "store" })).await;
    let check = async |change: Value, max_tps: Value, prefix: Value, enabled: bool| {
        let app = world.tell("/api/v1/apps/shop", change.clone()).await;
        assert_eq!(
            (&app["max_tps"], &app["index_prefix"], &app["enabled"]),
            (&max_tps, &prefix, &json!(enabled)),
            "{change}"
        );
    };
    check(json!({}), json!(5), json!("store"), true).await;
    check(json!({ "max_tps": 7 }), json!(7), json!("store"), true).await;
    check(json!({ "enabled": false }), json!(7), json!("store"), false).await;
    check(json!({ "max_tps": null }), Value::Null, json!("store"), false).await;
    check(json!({ "index_prefix": null, "enabled": true }), Value::Null, Value::Null, true).await;
    check(json!({ "index_prefix": "x" }), Value::Null, json!("x"), true).await;
}

#[tokio::test]
async fn secrets_are_changed_without_a_gap() {
    let world = World::new().await;
    let first = world.tell("/api/v1/apps", json!({ "app": "shop" })).await;
    let second = world.tell("/api/v1/apps/shop/secrets", json!({})).await;
    let (first, second) = (text(&first["secret"]), text(&second["secret"]));
    assert_eq!((fits(world.fleet(), "shop", first), fits(world.fleet(), "shop", second)), (Ok(()), Ok(())));
    let add = Some(json!({}));
    world.refused(Method::POST, "/api/v1/apps/shop/secrets", add, 409, "app-secrets-full").await;
    let app = world.tell("/api/v1/apps/shop/secrets/end", json!({})).await;
    assert_eq!(app["secrets"], 1);
    assert_eq!(fits(world.fleet(), "shop", first), Err(SecretRefused::Wrong));
    assert_eq!(fits(world.fleet(), "shop", second), Ok(()));
    assert_eq!(world.tell("/api/v1/apps/shop/secrets/end", json!({ "keep": 0 })).await["secrets"], 0);
}

#[tokio::test]
async fn an_app_that_is_used_stays() {
    let world = World::new().await;
    world.tell("/api/v1/apps", json!({ "app": "shop" })).await;
    let key = world.tell("/api/v1/keys", json!({ "title": "web", "apps": ["shop"] })).await;
    let told = world.refused(Method::DELETE, "/api/v1/apps/shop", None, 409, "app-in-use").await;
    assert_eq!(told, "0 agents and 1 access keys of the app are good");
    world.tell(&format!("/api/v1/keys/{}/revoke", text(&key["id"])), json!({})).await;
    world.removed("/api/v1/apps/shop").await;
    world.refused(Method::GET, "/api/v1/apps/shop", None, 404, "unknown-app").await;
}

#[tokio::test]
async fn what_can_not_be_is_refused_by_name() {
    let world = World::new().await;
    world.tell("/api/v1/apps", json!({ "app": "shop" })).await;
    let post = async |path: &str, body: Value, status: u16, code: &str| {
        world.refused(Method::POST, &format!("/api/v1/apps{path}"), Some(body), status, code).await
    };
    insta::assert_snapshot!(post("", json!({ "app": "shop" }), 409, "name-taken").await, @"there is an app `shop` already");
    insta::assert_snapshot!(post("", json!({ "app": "A Shop" }), 400, "bad-parameter").await, @"`A Shop` is no name of an app: must not contain ` ` (position 1)");
    insta::assert_snapshot!(post("", json!({ "app": "a", "index_prefix": "_a" }), 400, "bad-parameter").await, @"`_a` is no name of an index: must not start with `_`");
    insta::assert_snapshot!(post("", json!({ "app": "a", "secret": "short" }), 400, "bad-secret").await, @"a secret has at least 16 bytes and at most 1024");
    post("", json!({ "app": "a", "max_tps": 0 }), 422, "bad-parameter").await;
    post("", json!({ "app": "a", "maxtps": 1 }), 422, "bad-parameter").await;
    post("", json!({}), 422, "bad-parameter").await;
    post("/other", json!({ "enabled": false }), 404, "unknown-app").await;
    post("/other/secrets", json!({}), 404, "unknown-app").await;
    post("/other/secrets/end", json!({}), 404, "unknown-app").await;
    post("/a%20b", json!({}), 400, "bad-parameter").await;
    world.refused(Method::GET, "/api/v1/apps/other", None, 404, "unknown-app").await;
    world.refused(Method::DELETE, "/api/v1/apps/other", None, 404, "unknown-app").await;
    world.refused(Method::PUT, "/api/v1/apps/shop", None, 405, "method-not-allowed").await;
}
