//! Against a real Redis.

mod fleet;
mod keys;
mod outage;
mod world;
