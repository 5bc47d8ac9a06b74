//! Tasks with a name and a policy, and the order in which they end.
//!
//! Components never call `tokio::spawn`. They hold a [`Spawner`] and say for every task what it is called,
//! what its failure means and in which [`DrainPhase`] it ends:
//!
//! ```
//! # use weir_foundation::supervise::{DrainPhase, Policy, Spawner};
//! fn start(spawner: &Spawner) {
//!     spawner.spawn("example.loop", Policy::essential(DrainPhase::StopIntake), |drain| async move {
//!         loop {
//!             tokio::select! {
//!                 () = drain.draining() => return Ok::<(), std::io::Error>(()),
//!                 // () = one_more_piece_of_work() => {}
//!             }
//!         }
//!     });
//! }
//! ```
//!
//! `main` holds the [`Supervisor`]. When a signal arrives, a fatal task fails or a component asks for it, the
//! phases pass in order. Each fires the [`DrainToken`] of its tasks and waits until they have returned. Who
//! still runs at the deadline of its phase is logged by name and aborted, and the next phase begins: a task
//! that hangs delays the end by its phase's deadline and no more.

mod phase;
mod registry;
mod signals;
mod spawner;
mod supervisor;

pub use self::phase::{DrainDeadlines, DrainPhase, DrainSection, DrainToken};
pub use self::signals::{Signal, Signals};
pub use self::spawner::{BlockingError, Policy, Reaction, Spawner, TaskHandle};
pub use self::supervisor::Supervisor;

#[cfg(test)]
mod tests;
