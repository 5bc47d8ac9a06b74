//! How many events an app may send.
//!
//! Each app has a token bucket: it holds as many events as the app's rate allows in the window, starts full, and
//! fills at the rate. A batch takes its events from it whole or is refused whole. Beside them there is one
//! bucket for all requests that ask to be limited as a group.
//!
//! * [`LocalLimiter`]: buckets of this process.
//! * [`SharedLimiter`]: the seam for buckets that processes share, with its suite in [`conformance`].
//! * [`Limiter`]: what a door asks: the one, or the other as long as it can be reached.

pub mod conformance;
mod limiter;
mod local;
mod seam;

pub use limiter::{Limiter, LimiterMetrics};
pub use local::LocalLimiter;
pub use seam::{Ask, MOST_ASKS, OverLimit, Scope, SharedLimiter, TakeError};
