use axum::Json;
use axum::extract::rejection::JsonRejection;
use http::StatusCode;
use weir_fleet::{AppLimits, AppView, ChangeAppError, Fleet, NewSecret};
use weir_model::{AppName, IndexPrefix};

use super::{InPath, count, in_path, named, time};
use crate::api;
use crate::failure::Failure;
use crate::operator::Asking;
use crate::route::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/apps", "listApps", "In whose names events are sent", list).json::<api::Apps>(),
        Route::post("/api/v1/apps", "createApp", "Make an app; its secret is shown this once", create)
            .body::<api::NewApp>()
            .json::<api::AppSecret>(),
        Route::get("/api/v1/apps/{app}", "getApp", "One app", show).json::<api::App>(),
        Route::post("/api/v1/apps/{app}", "changeApp", "Change what an app may do", change)
            .body::<api::AppChange>()
            .json::<api::App>(),
        Route::delete(
            "/api/v1/apps/{app}",
            "removeApp",
            "Remove an app of which no agent and no access key is good any more",
            remove,
        ),
        Route::post(
            "/api/v1/apps/{app}/secrets",
            "addAppSecret",
            "Give an app a second secret, which is shown this once",
            add_secret,
        )
        .body::<api::NewAppSecret>()
        .json::<api::AppSecret>(),
        Route::post(
            "/api/v1/apps/{app}/secrets/end",
            "endAppSecrets",
            "Let all secrets of an app but the newest end",
            end_secrets,
        )
        .body::<api::EndAppSecrets>()
        .json::<api::App>(),
    ]
}

async fn list(asking: Asking) -> Json<api::Apps> {
    Json(api::Apps { apps: asking.fleet().apps().into_iter().map(app).collect() })
}

async fn create(
    asking: Asking,
    body: Result<Json<api::NewApp>, JsonRejection>,
) -> Result<Json<api::AppSecret>, Failure> {
    let Json(api::NewApp { app, max_tps, index_prefix, secret }) = body?;
    let name = named("an app", &app, AppName::new)?;
    let index_prefix = index_prefix.as_deref().map(prefix).transpose()?;
    let limits = AppLimits { max_tps, index_prefix, enabled: true };
    let secret = new_secret(secret);
    let shown = asking.fleet().create_app(&name, &limits, Some(&secret), &asking.by).await;
    let shown = shown.map_err(|error| Failure::of_fleet(&error))?;
    Ok(Json(api::AppSecret { app: name.to_string(), secret: shown.as_ref().map(Into::into) }))
}

async fn show(asking: Asking, name: InPath) -> Result<Json<api::App>, Failure> {
    let name = in_path("an app", name, AppName::new)?;
    find(asking.fleet(), &name).map(Json)
}

async fn change(
    asking: Asking,
    name: InPath,
    body: Result<Json<api::AppChange>, JsonRejection>,
) -> Result<Json<api::App>, Failure> {
    let name = in_path("an app", name, AppName::new)?;
    let Json(api::AppChange { max_tps, index_prefix, enabled }) = body?;
    let index_prefix = match index_prefix {
        Some(Some(text)) => Some(Some(prefix(&text)?)),
        Some(None) => Some(None),
        None => None,
    };
    let change = |limits: &mut AppLimits| {
        limits.max_tps = max_tps.unwrap_or(limits.max_tps);
        if let Some(index_prefix) = &index_prefix {
            limits.index_prefix.clone_from(index_prefix);
        }
        limits.enabled = enabled.unwrap_or(limits.enabled);
    };
    asking
        .fleet()
        .change_app_limits(&name, &change, &asking.by)
        .await
        .map_err(|error| Failure::of_fleet(&error))?;
    find(asking.fleet(), &name).map(Json)
}

async fn remove(asking: Asking, name: InPath) -> Result<StatusCode, Failure> {
    let name = in_path("an app", name, AppName::new)?;
    asking.fleet().remove_app(&name, &asking.by).await.map_err(|error| Failure::of_fleet(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn add_secret(
    asking: Asking,
    name: InPath,
    body: Result<Json<api::NewAppSecret>, JsonRejection>,
) -> Result<Json<api::AppSecret>, Failure> {
    let name = in_path("an app", name, AppName::new)?;
    let Json(api::NewAppSecret { secret }) = body?;
    let shown = asking.fleet().add_app_secret(&name, &new_secret(secret), &asking.by).await;
    let shown = shown.map_err(|error| Failure::of_fleet(&error))?;
    Ok(Json(api::AppSecret { app: name.to_string(), secret: shown.as_ref().map(Into::into) }))
}

async fn end_secrets(
    asking: Asking,
    name: InPath,
    body: Result<Json<api::EndAppSecrets>, JsonRejection>,
) -> Result<Json<api::App>, Failure> {
    let name = in_path("an app", name, AppName::new)?;
    let Json(api::EndAppSecrets { keep }) = body?;
    let keep = usize::from(keep.unwrap_or(1));
    let ended = asking.fleet().end_app_secrets(&name, keep, &asking.by).await;
    ended.map_err(|error| Failure::of_fleet(&error))?;
    find(asking.fleet(), &name).map(Json)
}

fn new_secret(given: Option<api::SecretText>) -> NewSecret {
    given.map_or(NewSecret::Random, |secret| NewSecret::Given(secret.into()))
}

fn prefix(text: &str) -> Result<IndexPrefix, Failure> {
    named("an index", text, IndexPrefix::new)
}

fn find(fleet: &Fleet, name: &AppName) -> Result<api::App, Failure> {
    let found = fleet.apps().into_iter().find(|view| view.name == *name);
    found.map(app).ok_or_else(|| Failure::of_fleet(&ChangeAppError::Unknown(name.clone())))
}

fn app(view: AppView) -> api::App {
    let AppLimits { max_tps, index_prefix, enabled } = view.limits;
    api::App {
        app: view.name.to_string(),
        enabled,
        max_tps,
        index_prefix: index_prefix.as_ref().map(ToString::to_string),
        secrets: count(view.secrets),
        made: time(view.made),
        made_by: view.made_by.to_string(),
    }
}
