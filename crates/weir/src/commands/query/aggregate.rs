//! Histograms and top values.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;
use weir_server::api::{Bucket, TopValue};

use crate::output::{Column, Format, Row, Zone, left, local_text, print_rows, right};

/// A bucket or a value with the share of the greatest as a bar.
#[derive(Serialize)]
struct BucketRow {
    start: String,
    count: u64,
    #[serde(skip)]
    bar: String,
}

#[derive(Serialize)]
struct TopRow<'a> {
    value: &'a RawValue,
    count: u64,
    #[serde(skip)]
    bar: String,
}

/// Characters of the longest bar.
const BAR: u64 = 40;

pub(super) fn print_histogram(
    out: &mut dyn Write,
    format: Format,
    zone: &Zone,
    buckets: &[Bucket],
) -> io::Result<()> {
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0);
    let row = |bucket: &Bucket| BucketRow {
        start: local_text(bucket.start.0, zone),
        count: bucket.count,
        bar: bar(bucket.count, most, format),
    };
    print_rows(out, format, zone, &buckets.iter().map(row).collect::<Vec<_>>())
}

pub(super) fn print_top(
    out: &mut dyn Write,
    format: Format,
    zone: &Zone,
    values: &[TopValue],
) -> io::Result<()> {
    let most = values.iter().map(|value| value.count).max().unwrap_or(0);
    let rows: Vec<TopRow<'_>> = values
        .iter()
        .map(|TopValue { value, count }| TopRow { value, count: *count, bar: bar(*count, most, format) })
        .collect();
    print_rows(out, format, zone, &rows)
}

fn bar(count: u64, most: u64, format: Format) -> String {
    if format != Format::Text || most == 0 {
        return String::new();
    }
    let length = (count * BAR).div_ceil(most);
    "▇".repeat(usize::try_from(length).unwrap_or(0))
}

impl Row for BucketRow {
    const COLUMNS: &'static [Column] = &[left("start"), right("count"), left("")];

    fn cells(&self, _: &Zone) -> Vec<String> {
        vec![self.start.clone(), self.count.to_string(), self.bar.clone()]
    }
}

impl Row for TopRow<'_> {
    const COLUMNS: &'static [Column] = &[left("value"), right("count"), left("")];

    fn cells(&self, _: &Zone) -> Vec<String> {
        let text: Option<String> = serde_json::from_str(self.value.get()).ok();
        let value = text.unwrap_or_else(|| self.value.get().to_owned());
        vec![value, self.count.to_string(), self.bar.clone()]
    }
}
