//! Answers of Consul: what is read of them is an address.

use weir_discovery::{read_catalog, read_health};

pub fn run(data: &[u8]) {
    for read in [read_catalog, read_health] {
        for instance in read(data).unwrap_or_default() {
            let endpoint = instance.endpoint;
            assert!(endpoint.to_string().ends_with(&format!(":{}", endpoint.port)));
        }
    }
}
