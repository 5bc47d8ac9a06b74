//! Against a real Postgres.

mod conformance;
mod life;
mod outage;
mod refused;
mod tls;
mod went_back;
mod world;
