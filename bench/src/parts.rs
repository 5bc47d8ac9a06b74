//! Parts of weir alone: programs of their crates, whose output is kept and read.

use std::process::Command;

use crate::child::sibling;
use crate::report::Report;
use crate::{Extent, Outcome};

/// The journal with many callers. Columns as `append_bench` prints them:
/// `callers codec tail events/s MB/s CPU-s/M p50 p99 max written/payload records/sync`.
pub(crate) fn journal(report: &mut Report, extent: &Extent) -> Outcome<()> {
    for run in 1..=extent.runs {
        let output = said("examples/append_bench", &[extent.seconds.to_string()])?;
        let size = output.lines().next().and_then(|line| number_after(line, "events,"));
        for line in output.lines() {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let ["64", "lz4", "no", rate, _, _, p50, p99, _, written, ..] = *columns else { continue };
            let written: f64 = written.parse()?;
            report.figures.note("journal.rate", rate.parse()?);
            report.figures.note("journal.p50", p50.parse()?);
            report.figures.note("journal.p99", p99.parse()?);
            report.figures.note("journal.written", written);
            report.figures.note("journal.event_bytes", size.unwrap_or(0.0) / 100.0 * written);
        }
        report.output(&format!("The journal alone, run {run} of {}", extent.runs), &output);
    }
    Ok(())
}

/// The store, then searches over it. Lines as `store_bench` prints them: `figure value`, and
/// `search WHAT p50_ms … cpu_ms … hits … total … scanned …`.
pub(crate) fn store(report: &mut Report, extent: &Extent, files: &[String]) -> Outcome<()> {
    for run in 1..=extent.runs {
        let mut arguments = vec![extent.documents.to_string()];
        arguments.extend_from_slice(files);
        let output = said("examples/store_bench", &arguments)?;
        let mut memory = ["store.memory", "store.memory_searched"].into_iter();
        let (mut newest, mut columns, mut scan) = (0.0_f64, 0.0_f64, f64::MAX);
        for line in output.lines() {
            if let Some(search) = line.strip_prefix("search ") {
                let millis = number_after(search, "p50_ms").ok_or("a search has a time")?;
                let what = search.split("p50_ms").next().unwrap_or_default().trim();
                match what {
                    "rare word, newest 100" => report.figures.note("search.rare", millis),
                    "two words, newest 100" => report.figures.note("search.two_words", millis),
                    "everything, newest 100" | "common word, newest 100" | "phrase, newest 100" => {
                        newest = newest.max(millis);
                    }
                    "histogram of all" | "histogram of level:error" | "top service" | "top status" => {
                        columns = columns.max(millis);
                    }
                    "count common word" | "count message:word" | "count phrase" | "count wildcard" => {
                        let cpu = number_after(search, "cpu_ms").ok_or("a search has a cost")?;
                        scan = scan.min(extent.documents as f64 / cpu.max(0.1) / 1e3);
                    }
                    _ => {}
                }
                continue;
            }
            let Some((name, value)) = line.split_once(' ') else { continue };
            match name {
                "cpu_s_per_million" => report.figures.note("store.cpu", value.parse()?),
                "raw_mb" => {
                    let bytes = value.parse::<f64>()? * 1e6;
                    report.figures.note("store.raw", bytes / extent.documents as f64);
                }
                "disk_per_raw" => report.figures.note("store.size", value.parse()?),
                "peak_rss_mib" => {
                    if let Some(name) = memory.next() {
                        report.figures.note(name, value.parse()?);
                    }
                }
                _ => {}
            }
        }
        report.figures.note("search.newest", newest);
        report.figures.note("search.columns", columns);
        report.figures.note("search.scan", scan);
        report.output(&format!("The store alone, run {run} of {}", extent.runs), &output);
    }
    Ok(())
}

fn said(program: &str, arguments: &[String]) -> Outcome<String> {
    let output = Command::new(sibling(program)?).args(arguments).output()?;
    if !output.status.success() {
        return Err(format!("`{program}`: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn number_after(line: &str, word: &str) -> Option<f64> {
    line.split_once(word)?.1.split_whitespace().next()?.parse().ok()
}
