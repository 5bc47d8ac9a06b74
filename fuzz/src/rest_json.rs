//! Bodies of the REST gateway: what is mapped is a request that the gRPC door takes, unless it is nested
//! deeper than any request may be.

use weir_wire::{Malformed, Problem, rest, scan_collection, scan_timber};

pub fn run(data: &[u8]) {
    if let Ok(request) = rest::timber(data) {
        check(scan_timber(&request).err());
    }
    if let Ok(request) = rest::timber_collection(data) {
        check(scan_collection(&request).err());
    }
}

fn check(error: Option<Malformed>) {
    assert!(error.is_none_or(|error| error.problem == Problem::Nesting), "{error:?}");
}
