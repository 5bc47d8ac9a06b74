//! The table.

use std::time::Instant;

use crate::load::Run;

/// Machine, version and a fixed piece of work, by which runs on other days and machines can be compared.
pub(crate) fn head() {
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("# What weir costs\n");
    println!("weir {}, written by `make bench`.", env!("CARGO_PKG_VERSION"));
    println!("Machine: {} x {}.", num_cpus(), model.trim_start_matches([' ', '\t', ':']));
    println!("Load average when it began: {}.", load.split(' ').next().unwrap_or_default());
    println!("Calibration, 400 million dependent multiplications: {:.3} s.\n", calibration());
    println!("| scenario | events/s | CPU-s per million | peak RSS MiB | p50 ms | p99 ms |");
    println!("|---|---|---|---|---|---|");
}

pub(crate) fn row(scenario: &str, run: &Run, cpu: f64, memory: f64) {
    println!(
        "| {scenario} | {:.0} | {:.2} | {memory:.0} | {:.2} | {:.2} |",
        run.rate(),
        cpu / run.events as f64 * 1e6,
        run.millis(0.5),
        run.millis(0.99)
    );
}

fn num_cpus() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

fn calibration() -> f64 {
    let began = Instant::now();
    let mut state = 1u64;
    for _ in 0..400_000_000u64 {
        state = std::hint::black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    began.elapsed().as_secs_f64()
}
