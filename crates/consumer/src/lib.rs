//! The role that delivers from the journal to the stores.
//!
//! [`delivery`] carries every record of the streams that it subscribes to into the index store, exactly
//! once by position, and commits to the journal only what is durable there or a durable dead letter.
//! [`audit`] proves it from counts, [`verify`] from positions.

pub mod audit;
pub mod delivery;
pub mod ledger;
pub mod metrics;
pub mod section;
pub mod verify;

mod census;
mod decode;
mod steps;
