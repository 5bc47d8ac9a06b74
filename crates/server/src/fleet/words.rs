//! What people are told of times and sizes.

use std::time::Duration;

const UNITS: [(&str, u64); 3] = [("d", 86_400), ("h", 3_600), ("m", 60)];

const SIZES: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// In the largest unit that it fills, rounded down: `3d`, `7m`, `12s`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match UNITS.iter().find(|(_, unit)| seconds >= *unit) {
        Some((name, unit)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// With one digit behind the point: `5.2 MiB`, `100 B`.
pub(super) fn size(bytes: u64) -> String {
    match SIZES.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_read_well() {
        let check = |seconds: u64, expected: &str| assert_eq!(span(Duration::from_secs(seconds)), expected);
        check(0, "0s");
        check(59, "59s");
        check(60, "1m");
        check(3_599, "59m");
        check(7_300, "2h");
        check(90_000, "1d");
        check(u64::MAX, "213503982334601d");
        let check = |bytes: u64, expected: &str| assert_eq!(size(bytes), expected);
        check(0, "0 B");
        check(1_023, "1023 B");
        check(1_024, "1.0 KiB");
        check(5_500_000, "5.2 MiB");
        check(u64::MAX, "16777215.9 TiB");
    }
}
