//! What whole-process tests share: the real binary as a child process, clients that remember what was
//! acknowledged, and the reckoning at the end. Everything here is for tests; what can not go on panics.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test harness ends the test where it can not go on, and runs in real time"
)]
#![allow(missing_docs, reason = "it is no API")]

pub mod cli;
pub mod documents;
pub mod failing_sync;
pub mod flood;
pub mod last_words;
pub mod ledger;
pub mod load;
pub mod process;
pub mod raw;
pub mod reckoning;
pub mod seed;
pub mod small_disk;
pub mod wait;
