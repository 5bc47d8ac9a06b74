//! The role that delivers from the journal to the stores.
//!
//! [`delivery`] carries every record of the streams that it subscribes to into the index store, exactly
//! once by position, and commits to the journal only what is durable there or a durable dead letter.
//! [`push`] tells a registry of apps what was stored.
//! [`audit`] proves it from counts, [`verify`] from positions.

pub mod audit;
pub mod delivery;
pub mod ledger;
pub mod metrics;
pub mod push;
pub mod section;
pub mod tally;
pub mod verify;

mod census;
mod decode;
mod steps;
