use std::num::NonZeroU32;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use weir_auth::access_key::KeyId;
use weir_fleet::{AgentsToo, Fleet, KeySpec, KeyState, KeyView, RevokeKeyError, Title, Uses};
use weir_model::AppName;

use super::{InPath, count, in_path, labels, life, map, named, time};
use crate::api;
use crate::failure::Failure;
use crate::operator::Asking;
use crate::route::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/keys", "listKeys", "With what nodes become agents", list).json::<api::Keys>(),
        Route::post("/api/v1/keys", "createKey", "Make an access key; it is shown this once", create)
            .body::<api::NewKey>()
            .json::<api::CreatedKey>(),
        Route::get("/api/v1/keys/{key}", "getKey", "One access key, by its id", show).json::<api::Key>(),
        Route::post(
            "/api/v1/keys/{key}/revoke",
            "revokeKey",
            "Let nobody join with an access key any more",
            revoke,
        )
        .body::<api::RevokeKey>()
        .json::<api::RevokedKey>(),
    ]
}

async fn list(asking: Asking) -> Json<api::Keys> {
    Json(api::Keys { keys: asking.fleet().keys().iter().map(key).collect() })
}

async fn create(
    asking: Asking,
    body: Result<Json<api::NewKey>, JsonRejection>,
) -> Result<Json<api::CreatedKey>, Failure> {
    let Json(wanted) = body?;
    let app = |app: &String| named("an app", app, AppName::new);
    let spec = KeySpec {
        title: Title::new(&wanted.title)
            .map_err(|error| Failure::bad_parameter(format!("`title`: {error}")))?,
        apps: wanted.apps.iter().map(app).collect::<Result<_, _>>()?,
        labels: labels(wanted.labels)?,
        life: life(wanted.ttl)?,
        uses: match wanted.uses {
            None => Uses::Times(NonZeroU32::MIN),
            Some(api::Uses::Times(times)) => Uses::Times(times),
            Some(api::Uses::Word(api::AnyNumber::Unlimited)) => Uses::Unlimited,
        },
        seal: wanted.seal,
    };
    let created = asking.fleet().create_key(&spec, &asking.by).await;
    let created = created.map_err(|error| Failure::of_fleet(&error))?;
    Ok(Json(api::CreatedKey {
        id: created.id.to_string(),
        access_key: (&created.key).into(),
        expires: created.expires.map(time),
        uses: uses(spec.uses),
    }))
}

async fn show(asking: Asking, id: InPath) -> Result<Json<api::Key>, Failure> {
    let id = in_path("an access key", id, KeyId::new)?;
    find(asking.fleet(), &id).map(Json)
}

async fn revoke(
    asking: Asking,
    id: InPath,
    body: Result<Json<api::RevokeKey>, JsonRejection>,
) -> Result<Json<api::RevokedKey>, Failure> {
    let id = in_path("an access key", id, KeyId::new)?;
    let Json(api::RevokeKey { agents }) = body?;
    let agents = if agents { AgentsToo::Revoke } else { AgentsToo::Stay };
    let revoked = asking.fleet().revoke_key(&id, agents, &asking.by).await;
    let revoked = revoked.map_err(|error| Failure::of_fleet(&error))?;
    Ok(Json(api::RevokedKey { key: find(asking.fleet(), &id)?, revoked_agents: count(revoked) }))
}

fn find(fleet: &Fleet, id: &KeyId) -> Result<api::Key, Failure> {
    fleet.key(id).as_ref().map(key).ok_or_else(|| Failure::of_fleet(&RevokeKeyError::Unknown(id.clone())))
}

fn key(view: &KeyView) -> api::Key {
    api::Key {
        id: view.id.to_string(),
        title: view.title.to_string(),
        apps: view.apps.iter().map(ToString::to_string).collect(),
        labels: map(view.labels.iter()),
        state: match view.state {
            KeyState::Usable => api::KeyState::Usable,
            KeyState::UsedUp => api::KeyState::UsedUp,
            KeyState::Expired => api::KeyState::Expired,
            KeyState::Revoked => api::KeyState::Revoked,
        },
        uses: uses(view.uses),
        used: view.used,
        last_used: view.last_used.map(time),
        expires: view.expires.map(time),
        seal: view.seal,
        made: time(view.made),
        made_by: view.made_by.to_string(),
    }
}

fn uses(uses: Uses) -> api::Uses {
    match uses {
        Uses::Times(times) => api::Uses::Times(times),
        Uses::Unlimited => api::Uses::Word(api::AnyNumber::Unlimited),
    }
}
