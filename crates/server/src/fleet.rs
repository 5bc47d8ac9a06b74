//! The fleet of agents: what operators see of it and decide about it.
//!
//! Every route wants the token of an operator, wherever the request comes from. What is decided is decided by
//! [`weir_fleet::Fleet`]; here is only how that is asked for by HTTP, and what an agent's state is called.

mod agents;
mod apps;
mod configurations;
mod difference;
mod keys;
pub(crate) mod metrics;
mod operators;
mod pki;
mod progress;
mod standing;
mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use weir_fleet::{Labels, Selector};
use weir_foundation::settings::DurationText;
use weir_model::Timestamp;

use crate::api::Time;
use crate::failure::Failure;
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    let routes = [
        apps::routes(),
        keys::routes(),
        agents::routes(),
        configurations::routes(),
        operators::routes(),
        pki::routes(),
    ];
    routes.into_iter().flatten().map(Route::of_operators).collect()
}

/// The one part of a path that varies.
type InPath = Result<Path<String>, PathRejection>;

/// A name as it is in a path or a body.
fn named<T, E: fmt::Display>(
    what: &str,
    text: &str,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, Failure> {
    read(text).map_err(|error| {
        let shown: String = text.chars().take(80).collect();
        Failure::bad_parameter(format!("`{shown}` is no name of {what}: {error}"))
    })
}

/// The name in a path.
fn in_path<T, E: fmt::Display>(
    what: &str,
    path: InPath,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, Failure> {
    let Path(text) = path?;
    named(what, &text, read)
}

fn selector(labels: BTreeMap<String, String>) -> Result<Selector, Failure> {
    Selector::new(labels).map_err(|error| Failure::bad_parameter(format!("`labels`: {error}")))
}

fn labels(labels: BTreeMap<String, String>) -> Result<Labels, Failure> {
    Labels::new(labels).map_err(|error| Failure::bad_parameter(format!("`labels`: {error}")))
}

fn map<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn life(ttl: Option<DurationText>) -> Result<Option<Duration>, Failure> {
    match ttl.map(DurationText::duration) {
        Some(Duration::ZERO) => Err(Failure::bad_parameter("`ttl`: must be longer than zero")),
        life => Ok(life),
    }
}

/// Sizes of collections are no problem for the wire.
fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn time(time: SystemTime) -> Time {
    Timestamp::from(time).into()
}
