//! Files as an input.
//!
//! ```text
//! patterns ──scan──▶ tracked files ──read, cut, pack──▶ uplink
//!                        ▲    ▲                            │
//!          register ◀────╯    ╰────────── verdicts ────────╯
//! ```
//!
//! A file is known by device, inode and what it begins with, not by its name: renamed files are read on, and one that is
//! put in the place of another is noticed. One thread looks for files, reads them in turn, a piece of each at a time, and
//! moves them on by the verdicts of the server. Which files, it is told by [`Inputs`], also while it runs.

mod handle;
mod identity;
mod inputs;
mod lag;
mod pace;
mod packing;
mod preview;
mod register;
mod scan;
mod survey;
mod tracked;
mod walk;
mod watch;
mod worker;

pub(crate) use inputs::{Feed, MATCH};
pub use inputs::{InputReport, Inputs, Report, Scan};
pub(crate) use packing::Counts;
pub use preview::{Behind, Preview, PreviewEvent};
pub use register::RegisterError;
pub use survey::{Sighting, Survey, Unseen};
pub(crate) use worker::{Parts, Worker};
