//! A small shop that makes believable events, to look at weir with.

mod incident;
mod run;
mod shop;

pub(crate) use self::run::{Bounds, Outcome, Plan, run, run_by};
