use std::fmt;
use std::fs;
use std::io;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Ticks in `/proc` are hundredths of a second: `USER_HZ`, part of the interface of Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads `/proc/self` at each scrape; see proc(5).
#[derive(Debug)]
pub(super) struct ProcessCollector;

#[derive(Debug, PartialEq)]
struct Usage {
    cpu_seconds: f64,
    threads: u64,
    /// Seconds since the machine was started.
    started: f64,
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        // What can not be read is left out of the scrape.
        if let Some(usage) = read_usage() {
            let counter = ConstCounter::new(usage.cpu_seconds);
            let metric = encoder.encode_descriptor(
                "process_cpu",
                "CPU time spent in user and system mode",
                Some(&Unit::Seconds),
                counter.metric_type(),
            )?;
            counter.encode(metric)?;
            gauge(&mut encoder, "process_threads", "Threads", usage.threads)?;
            if let Some(boot) = read_boot_time() {
                let started = boot + usage.started;
                gauge(&mut encoder, "process_start_time_seconds", "Start, seconds since 1970", started)?;
            }
        }
        if let Some(bytes) = fs::read_to_string("/proc/self/status").ok().and_then(|text| resident(&text)) {
            gauge(&mut encoder, "process_resident_memory_bytes", "Resident memory", bytes)?;
        }
        if let Ok(count) = count_open_files() {
            gauge(&mut encoder, "process_open_fds", "Open file descriptors", count)?;
        }
        if let Some(limit) = fs::read_to_string("/proc/self/limits").ok().and_then(|text| max_files(&text)) {
            gauge(&mut encoder, "process_max_fds", "Limit of open file descriptors", limit)?;
        }
        Ok(())
    }
}

fn gauge<N>(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: N) -> Result<(), fmt::Error>
where
    ConstGauge<N>: EncodeMetric,
{
    let gauge = ConstGauge::new(value);
    let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    gauge.encode(metric)
}

fn read_usage() -> Option<Usage> {
    usage(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// `stat` is `pid (name) state …`, where the name may contain spaces and parentheses.
fn usage(stat: &str) -> Option<Usage> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    // The first of `fields` is number 3 in proc(5).
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let (user, system, threads, started) = (field(14)?, field(15)?, field(20)?, field(22)?);
    Some(Usage {
        cpu_seconds: (user + system) as f64 / TICKS_PER_SECOND,
        threads,
        started: started as f64 / TICKS_PER_SECOND,
    })
}

/// When the machine was started, in seconds since 1970.
fn read_boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn max_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn count_open_files() -> io::Result<u64> {
    let entries = fs::read_dir("/proc/self/fd")?.count();
    // Without the one of the directory that is being read.
    Ok(u64::try_from(entries).unwrap_or(u64::MAX).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b) (c) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 7 0 12345 1000 200";
        let expected = Usage { cpu_seconds: 2.0, threads: 7, started: 123.45 };
        assert_eq!(usage(stat), Some(expected));
    }

    #[test]
    fn cut_files_give_nothing() {
        assert_eq!(usage("42 (weir) S 1 2"), None);
        assert_eq!(resident("VmRSS:\t many kB"), None);
        assert_eq!(max_files("Max open files   unlimited unlimited files"), None);
    }

    #[test]
    fn reads_units() {
        assert_eq!(resident("VmPeak:\t 9 kB\nVmRSS:\t     3 kB\n"), Some(3072));
        assert_eq!(max_files("Max open files            1024                 4096  files"), Some(1024));
    }
}
