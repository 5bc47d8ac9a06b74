use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use http::StatusCode;
use weir_fleet::{AgentState, AgentView, ConfigurationView, ConfigureError, Fleet, Selector};

use super::standing::Picture;
use super::{InPath, count, difference, map, progress, selector, time};
use crate::failure::Failure;
use crate::operator::Asking;
use crate::route::Route;
use crate::server::Shared;
use crate::{api, codes};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/configurations", "listConfigurations", "What agents are to run", list)
            .json::<api::Configurations>(),
        Route::post(
            "/api/v1/configurations",
            "setConfiguration",
            "Decide what agents with these labels run, or say what that would change",
            set,
        )
        .body::<api::NewConfiguration>()
        .json::<api::ConfigurationAnswer>()
        .refusal::<api::ConfigurationRefusal>(),
        Route::get(
            "/api/v1/configurations/history",
            "getConfigurationHistory",
            "What agents with these labels had, the newest first",
            history,
        )
        .query::<api::ConfigurationParameters>()
        .json::<api::Configurations>(),
        Route::get(
            "/api/v1/configurations/status",
            "getConfigurationStatus",
            "How far agents are with what they should run",
            status,
        )
        .json::<api::ConfigurationStatus>(),
        Route::get(
            "/api/v1/configurations/{revision}",
            "getConfiguration",
            "One configuration with its text",
            show,
        )
        .json::<api::Configuration>(),
        Route::post(
            "/api/v1/configurations/rollback",
            "rollBackConfiguration",
            "Give agents with these labels again what they had before",
            roll_back,
        )
        .body::<api::RollBack>()
        .json::<api::ConfigurationAnswer>(),
        Route::post(
            "/api/v1/configurations/withdraw",
            "withdrawConfiguration",
            "Let agents with these labels run what other configurations say",
            withdraw,
        )
        .body::<api::Withdrawal>()
        .json::<api::WithdrawalAnswer>(),
    ]
}

async fn list(asking: Asking) -> Json<api::Configurations> {
    Json(entries(&all(asking.fleet())))
}

async fn set(
    asking: Asking,
    State(shared): State<Arc<Shared>>,
    body: Result<Json<api::NewConfiguration>, JsonRejection>,
) -> Result<Json<api::ConfigurationAnswer>, Failure> {
    let Json(api::NewConfiguration { labels, text, note, dry_run }) = body?;
    let (selector, fleet) = (selector(labels)?, asking.fleet());
    let before = present(fleet, &selector);
    let check = shared.parts.check;
    let view = if dry_run {
        Fleet::check_configuration(&text, &check).map_err(|error| unfit(&error))?;
        None
    } else {
        let view = fleet.configure(&selector, &text, &note, &check, &asking.by).await;
        Some(view.map_err(|error| unfit(&error))?)
    };
    answer(&shared, fleet, before, &selector, text.into(), view).await
}

async fn history(
    asking: Asking,
    parameters: Result<Query<api::ConfigurationParameters>, QueryRejection>,
) -> Result<Json<api::Configurations>, Failure> {
    let Query(api::ConfigurationParameters { labels }) = parameters?;
    let selector: Selector = labels
        .parse()
        .map_err(|error: weir_fleet::IllegalLabels| Failure::bad_parameter(format!("`labels`: {error}")))?;
    Ok(Json(entries(&asking.fleet().configuration_history(&selector))))
}

async fn status(asking: Asking) -> Json<api::ConfigurationStatus> {
    let picture = |view| Picture::of(asking.fleet(), view);
    let agents: Vec<Picture> = asking.fleet().agents().into_iter().map(picture).collect();
    Json(progress::status(&all(asking.fleet()), &agents))
}

async fn show(asking: Asking, revision: InPath) -> Result<Json<api::Configuration>, Failure> {
    let axum::extract::Path(revision) = revision?;
    let revision: u64 = revision
        .parse()
        .map_err(|_no_number| Failure::bad_parameter(format!("`{revision}` is no number of a revision")))?;
    let found = asking.fleet().configuration(revision);
    let view = found.ok_or_else(|| unknown(format!("there is no revision {revision}")))?;
    Ok(Json(api::Configuration { entry: entry(&view), text: view.text.to_string() }))
}

async fn roll_back(
    asking: Asking,
    State(shared): State<Arc<Shared>>,
    body: Result<Json<api::RollBack>, JsonRejection>,
) -> Result<Json<api::ConfigurationAnswer>, Failure> {
    let Json(api::RollBack { labels, revision }) = body?;
    let (selector, fleet) = (selector(labels)?, asking.fleet());
    let history = fleet.configuration_history(&selector);
    let before = history.first().cloned();
    let revision = match revision.or_else(|| history.get(1).map(|former| former.revision)) {
        Some(revision) => revision,
        None => {
            let message = format!("agents with `{selector}` had nothing before that they could go back to");
            return Err(unknown(message));
        }
    };
    let view = fleet.roll_back(&selector, revision, &asking.by).await;
    let view = view.map_err(|error| Failure::of_fleet(&error))?;
    let text = Arc::clone(&view.text);
    answer(&shared, fleet, before, &selector, text, Some(view)).await
}

async fn withdraw(
    asking: Asking,
    body: Result<Json<api::Withdrawal>, JsonRejection>,
) -> Result<Json<api::WithdrawalAnswer>, Failure> {
    let Json(api::Withdrawal { labels }) = body?;
    let (selector, fleet) = (selector(labels)?, asking.fleet());
    let agents = count(configured(fleet, &selector));
    fleet.withdraw_configuration(&selector, &asking.by).await.map_err(|error| Failure::of_fleet(&error))?;
    Ok(Json(api::WithdrawalAnswer { agents }))
}

/// Tells what a text means beside the one that was there `before`.
async fn answer(
    shared: &Shared,
    fleet: &Fleet,
    before: Option<ConfigurationView>,
    selector: &Selector,
    text: Arc<str>,
    view: Option<ConfigurationView>,
) -> Result<Json<api::ConfigurationAnswer>, Failure> {
    let (configuration, changed) = match &view {
        Some(view) => {
            (Some(entry(view)), before.as_ref().is_none_or(|before| before.revision != view.revision))
        }
        None => (None, before.as_ref().is_none_or(|before| before.text != text)),
    };
    let agents = match &view {
        None if changed => fleet.agents_with(selector).len(),
        _ => configured(fleet, selector),
    };
    let new_name =
        view.as_ref().map_or_else(|| "new".to_owned(), |view| format!("revision {}", view.revision));
    let compare = move || {
        let (old_name, old) = match &before {
            Some(before) => (format!("revision {}", before.revision), &*before.text),
            None => ("nothing".to_owned(), ""),
        };
        difference::unified(old, &text, &old_name, &new_name)
    };
    let diff = shared.parts.spawner.blocking("server.difference", compare).await?;
    Ok(Json(api::ConfigurationAnswer { configuration, changed, agents: count(agents), diff }))
}

/// How many agents run by this configuration, or should.
fn configured(fleet: &Fleet, selector: &Selector) -> usize {
    let good = fleet.agents().into_iter().filter(|agent| agent.state == AgentState::Good);
    let is_theirs = |agent: &AgentView| {
        fleet.configuration_of(&agent.name).is_some_and(|present| present.selector == *selector)
    };
    good.filter(is_theirs).count()
}

/// All that agents have now, by their labels.
fn all(fleet: &Fleet) -> Vec<ConfigurationView> {
    let mut all = fleet.configurations();
    all.sort_by(|one, other| one.selector.cmp(&other.selector));
    all
}

fn present(fleet: &Fleet, selector: &Selector) -> Option<ConfigurationView> {
    fleet.configuration_history(selector).into_iter().next()
}

fn unknown(message: String) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, codes::UNKNOWN_CONFIGURATION, message)
}

fn unfit(error: &ConfigureError) -> Failure {
    let failure = Failure::of_fleet(error);
    match error {
        ConfigureError::Problems(problems) => failure.with_problems(problems),
        ConfigureError::TooLarge(_) | ConfigureError::Characters | ConfigureError::Store(_) => failure,
    }
}

fn entries(views: &[ConfigurationView]) -> api::Configurations {
    api::Configurations { configurations: views.iter().map(entry).collect() }
}

pub(super) fn entry(view: &ConfigurationView) -> api::ConfigurationEntry {
    api::ConfigurationEntry {
        revision: view.revision,
        labels: map(view.selector.iter()),
        hash: view.hash.to_string(),
        bytes: count(view.text.len()),
        made: time(view.made),
        made_by: view.made_by.to_string(),
        note: view.note.clone(),
        restores: view.restores,
    }
}
