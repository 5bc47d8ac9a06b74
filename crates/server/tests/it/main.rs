//! The server over a journal and a store in memory, asked through real HTTP.

mod contract;
mod dead;
mod fleet;
mod inspect;
mod node;
mod schema;
mod search;
mod slow;
mod tail;
mod world;
