//! Figures by name, each measured once or several times.

use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Default)]
pub(crate) struct Figures(BTreeMap<&'static str, Vec<f64>>);

/// What a figure was in all runs together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Figures {
    pub(crate) fn note(&mut self, name: &'static str, value: f64) {
        self.0.entry(name).or_default().push(value);
    }

    /// How often it was measured.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.0.get(name).map_or(0, Vec::len)
    }

    /// Absent if the figure was not measured.
    pub(crate) fn spread(&self, name: &str) -> Option<Spread> {
        let mut values = self.0.get(name)?.clone();
        values.sort_by(f64::total_cmp);
        Some(Spread { least: *values.first()?, median: values[values.len() / 2], most: *values.last()? })
    }
}

/// `least – median – most`, with three digits that count; one number if all are the same.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [least, median, most] = [self.least, self.median, self.most].map(digits);
        if least == most { f.write_str(&median) } else { write!(f, "{least} – {median} – {most}") }
    }
}

/// A number with three digits that count.
pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => grouped(value),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// As in `1,230,000`.
fn grouped(value: f64) -> String {
    let unit = 10_f64.powf(value.abs().log10().floor() - 2.0);
    let digits = format!("{:.0}", (value / unit).round() * unit);
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let check = |value: f64, expected: &str| assert_eq!(digits(value), expected);
        check(0.0, "0.000");
        check(0.0449, "0.045");
        check(1.456, "1.46");
        check(18.04, "18.0");
        check(592.6, "593");
        check(1000.0, "1,000");
        check(592_831.0, "593,000");
        check(1_656_952.0, "1,660,000");
    }

    #[test]
    fn a_figure_of_several_runs_is_a_range() {
        let mut figures = Figures::default();
        for value in [3.0, 1.0, 2.0] {
            figures.note("door.cpu", value);
        }
        figures.note("idle.cpu", 0.25);
        assert_eq!(figures.spread("door.cpu").expect("measured").to_string(), "1.00 – 2.00 – 3.00");
        assert_eq!(figures.spread("idle.cpu").expect("measured").to_string(), "0.250");
        assert!(figures.spread("store.cpu").is_none());
    }
}
