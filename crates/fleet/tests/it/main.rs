//! Integration tests of the fleet.

mod apps;
mod configurations;
mod failing;
mod following;
mod joining;
mod keys;
mod maintaining;
mod opening;
mod operators;
mod recovering;
mod renewing;
mod reports;
mod roots;
mod servers;
mod support;
mod tokens;
