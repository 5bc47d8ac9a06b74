//! The doors through real sockets, over a journal in memory whose moods the tests choose.

mod agents;
mod bad_batches;
mod bad_bodies;
mod batch_ids;
mod budget;
mod compression;
mod events;
mod gateway;
mod grpc;
mod harness;
mod ingest;
mod journal;
mod limits;
mod raw;
mod raw_agent;
mod services;
mod shaping;
mod slow_clients;
mod trouble;
mod uplink;

#[test]
fn no_test_file_is_forgotten() {
    let main = include_str!("main.rs");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");
    for entry in std::fs::read_dir(folder).expect("the folder of this file") {
        let name = entry.expect("is readable").file_name().into_string().expect("is UTF-8");
        // The folder of a module has files of its own.
        let module = name.strip_suffix(".rs").unwrap_or(&name);
        assert!(module == "main" || main.contains(&format!("mod {module};")), "{name} is not compiled");
    }
}
