//! Times: what is read is written as a time that means the same.

use weir_wire::parse_rfc3339;

pub fn run(data: &[u8]) {
    if let Some(time) = parse_rfc3339(data) {
        assert_eq!(parse_rfc3339(time.to_string().as_bytes()), Some(time));
    }
}
