//! Whole-process tests: the real binary, started, loaded, killed, counted.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests of a real process run in real time"
)]

mod agent;
mod bad_configuration;
mod bad_events;
mod bad_records;
mod bad_settings;
mod behind_proxy;
mod brokers;
mod commands;
mod crash;
mod damaged_index;
mod drain;
mod drop_in;
mod enrolled;
mod failing_disk;
mod failing_sync;
mod fleet;
mod full_disk;
mod go_client;
mod group_chaos;
mod idle_connections;
mod kafka;
mod overload;
mod private_files;
mod roles_apart;
mod secrets;
mod server_over_kafka;
mod spool;
mod store_away;
mod topics;
mod walk;
mod weaknesses;
mod world;
mod writers;
