//! Against a real Consul.

mod following;
mod world;
