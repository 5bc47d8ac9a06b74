//! Limits that a fleet of producers shares through Redis 5 or newer.
//!
//! [`RedisLimiter`] is the seam [`weir_limits::SharedLimiter`] over one Redis. What it keeps there is described
//! in [`script`].

mod client;
mod limiter;
pub mod script;
mod section;

pub use client::ConnectError;
pub use limiter::{Parts, RedisLimiter};
pub use section::{RedisLimitsSection, RedisLimitsSettings};
