//! Whole-process tests: the real binary, started, loaded, killed, counted.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests of a real process run in real time"
)]

mod bad_events;
mod bad_settings;
mod commands;
mod crash;
mod damaged_index;
mod drain;
mod drop_in;
mod failing_disk;
mod failing_sync;
mod fleet;
mod full_disk;
mod idle_connections;
mod overload;
mod private_files;
mod server_over_kafka;
mod walk;
