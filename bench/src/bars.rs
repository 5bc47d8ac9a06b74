//! What is asked of weir, and what nobody could do better.

use crate::figures::{Figures, Spread, digits};
use crate::limits::Limits;

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Bar {
    /// Name of the figure; other documents refer to the line by it.
    pub(crate) line: &'static str,
    what: &'static str,
    bound: Bound,
    unit: &'static str,
    limit: String,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// Reported only.
    None,
}

impl Bar {
    pub(crate) fn row(&self, measured: Spread) -> String {
        let Self { line, what, unit, limit, .. } = self;
        format!(
            "| `{line}` | {what} | {} | {measured} {unit} | {} | {limit} |",
            self.bar(),
            self.verdict(measured)
        )
    }

    fn bar(&self) -> String {
        match self.bound {
            Bound::AtMost(bar) => format!("at most {} {}", digits(bar), self.unit),
            Bound::AtLeast(bar) => format!("at least {} {}", digits(bar), self.unit),
            Bound::None => "–".to_owned(),
        }
    }

    /// By the median; what the worst run missed is said as well.
    fn verdict(&self, measured: Spread) -> String {
        let missed = |value: f64| match self.bound {
            Bound::AtMost(bar) => value / bar - 1.0,
            Bound::AtLeast(bar) => 1.0 - value / bar,
            Bound::None => 0.0,
        };
        let worst = if let Bound::AtLeast(_) = self.bound { measured.least } else { measured.most };
        let (median, worst) = (missed(measured.median) * 100.0, missed(worst) * 100.0);
        match self.bound {
            Bound::None => String::new(),
            _ if median > 0.0 => format!("**missed by {median:.0} %**"),
            _ if worst > 0.0 => format!("met by the median, missed by {worst:.0} % at worst"),
            _ => "met".to_owned(),
        }
    }
}

pub(crate) fn bars(limits: &Limits, figures: &Figures) -> Vec<Bar> {
    let parts = [
        door(limits),
        journal(limits, figures),
        whole(limits),
        agent(),
        kafka(),
        store(limits, figures),
        searches(limits),
    ];
    parts.into_iter().flatten().collect()
}

fn bar(line: &'static str, what: &'static str, bound: Bound, unit: &'static str, limit: String) -> Bar {
    Bar { line, what, bound, unit, limit }
}

fn none() -> String {
    "–".to_owned()
}

fn door(limits: &Limits) -> Vec<Bar> {
    let cpu = "CPU-s per million";
    let floor = format!("{}: bytes copied twice, summed, packed by LZ4", digits(limits.journal_floor()));
    let sync = format!(
        "p50 {}, p99 {}: one round trip and one sync",
        digits((limits.round_trip.p50 + limits.sync.p50) * 1e3),
        digits((limits.round_trip.p99 + limits.sync.p99) * 1e3)
    );
    vec![
        bar("pace", "the machine's pace after each run under load", Bound::None, "ms", none()),
        bar("door.cpu", "gRPC into the journal, 8 connections", Bound::AtMost(1.5), cpu, floor),
        bar(
            "door.rate",
            "the same",
            Bound::None,
            "events/s",
            disk(limits, limits.event_bytes * limits.lz4.ratio),
        ),
        bar("door.memory", "peak memory of the same", Bound::AtMost(60.0), "MiB", none()),
        bar("paced.p99", "p99 of a batch at 50,000 events/s", Bound::AtMost(10.0), "ms", sync),
        bar(
            "rest.ratio",
            "JSON lines against gRPC, CPU for the same events",
            Bound::AtMost(2.0),
            "x",
            none(),
        ),
    ]
}

fn journal(limits: &Limits, figures: &Figures) -> Vec<Bar> {
    let on_disk = figures.spread("journal.event_bytes").map_or(0.0, |bytes| bytes.median);
    let sync = format!("{}: one sync", digits(limits.sync.p50 * 1e3));
    let sync_p99 = format!("{}: one sync", digits(limits.sync.p99 * 1e3));
    vec![
        bar(
            "journal.rate",
            "the journal alone, 64 callers",
            Bound::AtLeast(1e6),
            "events/s",
            disk(limits, on_disk),
        ),
        bar("journal.p50", "p50 of its appends", Bound::None, "ms", sync),
        bar("journal.p99", "p99 of its appends", Bound::None, "ms", sync_p99),
        bar("journal.written", "bytes written per byte of payload", Bound::None, "", none()),
    ]
}

fn whole(limits: &Limits) -> Vec<Bar> {
    let floor = limits.journal_floor() + limits.store_floor();
    let floor = format!("{}: that of `door.cpu`, and packed by zstd", digits(floor));
    let bytes = limits.event_bytes * limits.lz4.ratio + limits.document_bytes * limits.zstd.ratio;
    let seen = format!("{}: a round trip each way", digits(limits.round_trip.p50 * 2e3));
    let start = format!("{}: a process that says its version", digits(limits.start));
    let second = Bound::AtMost(1000.0);
    vec![
        bar(
            "whole.cpu",
            "all of weir, gRPC in to searchable",
            Bound::AtMost(3.5),
            "CPU-s per million",
            floor,
        ),
        bar("whole.rate", "the same", Bound::AtLeast(200_000.0), "events/s", disk(limits, bytes)),
        bar("whole.memory", "peak memory of the same", Bound::None, "MiB", none()),
        bar("searchable.p50", "acknowledged to found by a search, p50", Bound::None, "ms", seen.clone()),
        bar("searchable.p99", "the same, p99", Bound::None, "ms", none()),
        bar("searchable.max", "the same, longest", second, "ms", none()),
        bar("tail.p50", "acknowledged to shown by a tail, p50", Bound::None, "ms", seen),
        bar("tail.p99", "the same, p99", Bound::None, "ms", none()),
        bar("tail.max", "the same, longest", second, "ms", none()),
        bar("idle.cpu", "idle `weir up`", Bound::AtMost(1.0), "% of a core", none()),
        bar("idle.memory", "the same, resident", Bound::AtMost(80.0), "MiB", none()),
        bar("restart.ready", "ready with the delivered journal below", Bound::AtMost(2.0), "s", start),
        bar("restart.bytes", "files of that journal", Bound::None, "GB", none()),
    ]
}

fn agent() -> Vec<Bar> {
    let bar = |line, what, bound, unit| bar(line, what, bound, unit, none());
    vec![
        bar(
            "agent.cpu",
            "the agent, a file to durable at `weir up`",
            Bound::AtMost(1.0),
            "CPU-s per million",
        ),
        bar("agent.rate", "the same, both sides on this machine", Bound::AtLeast(300_000.0), "lines/s"),
        bar("agent.memory", "peak memory of the agent", Bound::None, "MiB"),
        bar("agent_idle.cpu", "the agent when all is sent", Bound::AtMost(0.3), "% of a core"),
        bar("agent_idle.memory", "the same, resident", Bound::AtMost(20.0), "MiB"),
        bar("agent_many.memory", "peak memory with 1,000 files open", Bound::AtMost(40.0), "MiB"),
        bar("agent_many_idle.cpu", "that agent when all is sent", Bound::None, "% of a core"),
    ]
}

fn kafka() -> Vec<Bar> {
    let cpu = "CPU-s per million";
    let bar = |line, what, bound, unit| bar(line, what, bound, unit, none());
    vec![
        bar("kafka.cpu", "gRPC into Kafka, a batch a record", Bound::AtMost(1.9), cpu),
        bar("kafka.rate", "the same", Bound::None, "events/s"),
        bar("kafka.memory", "peak memory of the same", Bound::AtMost(120.0), "MiB"),
        bar("kafka_paced.p99", "p99 of a batch at 50,000 events/s", Bound::AtMost(20.0), "ms"),
        bar("kafka_timber.cpu", "gRPC into Kafka, an event a record", Bound::AtMost(3.0), cpu),
        bar("kafka_timber.rate", "the same", Bound::None, "events/s"),
        bar("kafka_timber.memory", "peak memory of the same", Bound::AtMost(120.0), "MiB"),
        bar("kafka_timber_paced.p99", "p99 of a batch at 50,000 events/s", Bound::AtMost(20.0), "ms"),
        bar("redis.ratio", "rate with limits in Redis against limits of its own", Bound::AtLeast(0.8), "x"),
        bar("consumer.cpu", "Kafka to `_bulk`, a batch a record", Bound::AtMost(3.5), cpu),
        bar("consumer.rate", "the same", Bound::None, "events/s"),
        bar("consumer.memory", "peak memory of the same", Bound::AtMost(120.0), "MiB"),
        bar("consumer_timber.cpu", "Kafka to `_bulk`, an event a record", Bound::AtMost(3.5), cpu),
        bar("consumer_timber.rate", "the same", Bound::None, "events/s"),
        bar("consumer_timber.memory", "peak memory of the same", Bound::AtMost(120.0), "MiB"),
        bar("away.memory", "peak memory while the store is away", Bound::AtMost(120.0), "MiB"),
        bar("away.memory_after", "the same once it has caught up", Bound::None, "MiB"),
        bar("scaling.one", "one consumer, a store that takes a second a bulk", Bound::None, "events/s"),
        bar("scaling.two", "two consumers against one", Bound::AtLeast(1.8), "x"),
        bar("scaling.four", "four consumers against one", Bound::AtLeast(3.4), "x"),
    ]
}

fn store(limits: &Limits, figures: &Figures) -> Vec<Bar> {
    let floor = format!("{}: packed by zstd", digits(limits.store_floor()));
    let raw = figures.spread("store.raw").map_or(limits.document_bytes, |bytes| bytes.median);
    let size = format!("{}: the random 16 bytes of the trace ids alone", digits(16.0 / raw));
    vec![
        bar("store.cpu", "the store alone, merging included", Bound::AtMost(2.0), "CPU-s per million", floor),
        bar("store.size", "its files by the raw size", Bound::AtMost(0.16), "", size),
        bar("store.memory", "its peak memory while it writes", Bound::AtMost(200.0), "MiB", none()),
        bar("store.memory_searched", "the same with the searches behind it", Bound::None, "MiB", none()),
    ]
}

/// Over the documents of `store_bench`, warm.
fn searches(limits: &Limits) -> Vec<Bar> {
    let newest =
        format!("{}: 100 documents unpacked", digits(limits.document_bytes * 1e5 / limits.zstd.unpack));
    let columns =
        format!("{}: 8 bytes of each of 4 million rows read", digits(8.0 * 4e6 * 1e3 / limits.copy));
    let scan = limits.document_bytes * (1.0 / limits.zstd.unpack + 1.0 / limits.find);
    let scan = format!("{}: unpacked and looked through", digits(1e-6 / scan));
    let newest = |line, what, most| bar(line, what, Bound::AtMost(most), "ms", newest.clone());
    vec![
        newest("search.rare", "newest 100 of a rare word", 5.0),
        newest("search.newest", "newest 100 of everything, of a word, of a phrase", 5.0),
        newest("search.two_words", "newest 100 of two words", 80.0),
        bar("search.columns", "histograms and top values without text", Bound::AtMost(30.0), "ms", columns),
        bar("search.scan", "counts of text", Bound::AtLeast(8.0), "million documents/s of a core", scan),
    ]
}

/// The disk's rate, if so many bytes of an event are written.
fn disk(limits: &Limits, bytes: f64) -> String {
    format!("{}: the disk at {:.0} bytes an event", digits(limits.write / bytes.max(1.0)), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_or_missed_by_so_much() {
        let check = |bound, least, median, most, expected: &str| {
            let verdict = bar("x", "x", bound, "", none()).verdict(Spread { least, median, most });
            assert_eq!(verdict, expected, "{bound:?}");
        };
        check(Bound::AtMost(2.0), 0.1, 1.0, 2.0, "met");
        check(Bound::AtMost(2.0), 1.0, 2.0, 3.0, "met by the median, missed by 50 % at worst");
        check(Bound::AtMost(2.0), 1.0, 2.2, 3.0, "**missed by 10 %**");
        check(Bound::AtLeast(2.0), 2.0, 3.0, 4.0, "met");
        check(Bound::AtLeast(2.0), 1.0, 3.0, 4.0, "met by the median, missed by 50 % at worst");
        check(Bound::AtLeast(2.0), 1.0, 1.0, 4.0, "**missed by 50 %**");
        check(Bound::None, 1.0, 1.0, 1.0, "");
    }
}
