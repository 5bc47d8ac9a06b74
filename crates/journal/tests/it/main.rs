//! Integration tests of the journal.

mod batches;
mod conformance;
mod damage;
mod foreign;
mod full;
mod golden;
mod inspect;
mod life;
mod marks;
mod model;
mod support;
