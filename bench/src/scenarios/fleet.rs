//! Roles in processes of their own, over one real broker.

use std::time::{Duration, Instant};

use weir_services::{Home, Kafka, Redis};

use crate::child::Measured;
use crate::data::{Lines, simple};
use crate::load::{self, Run};
use crate::report::{Names, Report};
use crate::sink::Sink;
use crate::{Extent, Outcome};

const FORMATS: [(&str, Names, Names); 2] = [
    ("collection", names!("kafka"), names!("kafka_paced")),
    ("timber", names!("kafka_timber"), names!("kafka_timber_paced")),
];

/// gRPC into one broker with `acks=all`, idempotent: as fast as it goes, and at 50,000 events/s.
pub(crate) async fn kafka(report: &mut Report, extent: &Extent, lines: &Lines) -> Outcome<()> {
    let batches = simple(&lines.texts, 1);
    let directory = tempfile::tempdir()?;
    let kafka = Kafka::start(&Home::of_the_tree(), directory.path(), 1)?;
    for (format, fast, paced) in FORMATS {
        for _ in 0..extent.runs {
            let weir = Measured::producer(&kafka.addresses(), format, &[]).await?;
            load::grpc(weir.grpc, &batches, extent.events / 20, None).await?;
            let cpu = weir.cpu()?;
            let run = load::grpc(weir.grpc, &batches, extent.events / 2, None).await?;
            let cpu = weir.cpu()? - cpu;
            let title = format!("gRPC into Kafka, format {format}");
            report.run(&title, fast, &run, cpu, weir.memory("VmHWM")?)?;
            let before = weir.cpu()?;
            let run = load::grpc(weir.grpc, &batches, extent.events / 4, Some(50_000.0)).await?;
            let cpu = weir.cpu()? - before;
            report.run("the same at 50,000 events/s", paced, &run, cpu, weir.memory("VmHWM")?)?;
        }
    }
    Ok(())
}

/// The producer with limits of its own and with limits in Redis, in turns.
pub(crate) async fn redis(report: &mut Report, extent: &Extent, lines: &Lines) -> Outcome<()> {
    let batches = simple(&lines.texts, 1);
    let directory = tempfile::tempdir()?;
    let kafka = Kafka::start(&Home::of_the_tree(), directory.path(), 1)?;
    let redis = Redis::start(directory.path())?;
    let address = redis.address().to_string();
    for _ in 0..extent.runs {
        let mut rates = Vec::new();
        for (title, settings) in [
            ("gRPC into Kafka, limits of its own", &[][..]),
            ("gRPC into Kafka, limits in Redis", &[("WEIR_REDIS__ADDRESS", address.as_str())]),
        ] {
            let weir = Measured::producer(&kafka.addresses(), "collection", settings).await?;
            load::grpc(weir.grpc, &batches, extent.events / 20, None).await?;
            let cpu = weir.cpu()?;
            let run = load::grpc(weir.grpc, &batches, extent.events / 2, None).await?;
            let cpu = weir.cpu()? - cpu;
            report.run(title, names!("limits"), &run, cpu, weir.memory("VmHWM")?)?;
            rates.push(run.rate());
        }
        report.figures.note("redis.ratio", rates[1] / rates[0]);
    }
    Ok(())
}

/// From Kafka to `_bulk`, from the start of the process to the last document; and with a store that is away.
pub(crate) async fn consumer(report: &mut Report, extent: &Extent, lines: &Lines) -> Outcome<()> {
    let formats = [("collection", names!("consumer")), ("timber", names!("consumer_timber"))];
    for (format, names) in formats {
        let directory = tempfile::tempdir()?;
        let kafka = Kafka::start(&Home::of_the_tree(), directory.path(), 1)?;
        let events = fill(&kafka, lines, format, 1, extent.events / 2).await?;
        for number in 0..extent.runs {
            let sink = Sink::start(Duration::ZERO).await?;
            let group = format!("bench-{number}");
            let began = Instant::now();
            let weir = Measured::consumer(directory.path(), &kafka.addresses(), &sink.url(), &group).await?;
            sink.has(events).await?;
            let run = Run::of(events, began.elapsed());
            let title = format!("Kafka to _bulk, format {format}");
            report.run(&title, names, &run, weir.cpu()?, weir.memory("VmHWM")?)?;
        }
        let sink = Sink::start(Duration::ZERO).await?;
        sink.away(true);
        let weir = Measured::consumer(directory.path(), &kafka.addresses(), &sink.url(), "away").await?;
        tokio::time::sleep(Duration::from_secs(extent.seconds * 4)).await;
        report.figures.note("away.memory", weir.memory("VmHWM")?);
        sink.away(false);
        sink.has(events).await?;
        report.figures.note("away.memory_after", weir.memory("VmHWM")?);
    }
    Ok(())
}

/// One, two and four consumers of a stream of 8 partitions, to a store that takes a second for each bulk, so that
/// neither the machine nor the store is the limit.
pub(crate) async fn scaling(report: &mut Report, extent: &Extent, lines: &Lines) -> Outcome<()> {
    const PARTITIONS: i32 = 8;
    let directory = tempfile::tempdir()?;
    let kafka = Kafka::start(&Home::of_the_tree(), directory.path(), 1)?;
    let events = fill(&kafka, lines, "collection", PARTITIONS, extent.events / 4 * 3).await?;
    for _ in 0..extent.runs {
        let mut rates = Vec::new();
        for consumers in [1, 2, 4] {
            let sink = Sink::start(Duration::from_secs(1)).await?;
            let group = format!("bench-{consumers}-{}", report.figures.count("scaling.two"));
            let mut running = Vec::new();
            for _ in 0..consumers {
                let folder = tempfile::tempdir_in(directory.path())?;
                let (brokers, store) = (kafka.addresses(), sink.url());
                running.push(Measured::consumer(&folder.keep(), &brokers, &store, &group).await?);
            }
            // Until each consumer has its partitions.
            sink.has(events / 20).await?;
            tokio::time::sleep(Duration::from_secs(extent.seconds)).await;
            let (before, began) = (sink.documents(), Instant::now());
            // Far more than the second of a bulk, and not to the end, where not every consumer has something to do.
            tokio::time::sleep(Duration::from_secs(extent.seconds * 4)).await;
            rates.push((sink.documents() - before) as f64 / began.elapsed().as_secs_f64());
        }
        report.figures.note("scaling.one", rates[0]);
        report.figures.note("scaling.two", rates[1] / rates[0]);
        report.figures.note("scaling.four", rates[2] / rates[0]);
    }
    Ok(())
}

/// Puts events into Kafka, and answers how many.
async fn fill(kafka: &Kafka, lines: &Lines, format: &str, partitions: i32, events: usize) -> Outcome<usize> {
    let weir = Measured::producer(&kafka.addresses(), format, &[]).await?;
    let run = load::grpc(weir.grpc, &simple(&lines.texts, partitions), events, None).await?;
    Ok(run.events)
}
