//! Integration tests of the state.

mod conformance;
mod full;
mod golden;
mod killed;
mod life;
mod refused;
mod support;
