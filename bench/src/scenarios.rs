//! What is measured of the whole and of its door.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::child::Measured;
use crate::data::{BATCH, Lines, json_lines, long, simple, structured};
use crate::load;
use crate::machine::sqlite_of;
use crate::report::{Names, Report};
use crate::{Extent, Outcome};

macro_rules! names {
    ($scenario:literal) => {
        Names {
            rate: concat!($scenario, ".rate"),
            cpu: concat!($scenario, ".cpu"),
            p99: concat!($scenario, ".p99"),
            memory: concat!($scenario, ".memory"),
        }
    };
}

mod agent;
mod fleet;

pub(crate) use self::agent::agent;
pub(crate) use self::fleet::{consumer, kafka, redis, scaling};

/// gRPC into the durable journal, as fast as it goes.
pub(crate) async fn door(report: &mut Report, extent: &Extent, lines: &Lines) -> Outcome<()> {
    let batches = simple(&lines.texts, 1);
    for _ in 0..extent.runs {
        let directory = tempfile::tempdir()?;
        let door = Measured::door(directory.path())?;
        load::grpc(door.grpc, &batches, extent.events / 20, None).await?;
        let cpu = door.cpu()?;
        let run = load::grpc(door.grpc, &batches, extent.events, None).await?;
        let cpu = door.cpu()? - cpu;
        let title = "gRPC into the journal, 8 connections";
        report.run(title, names!("door"), &run, cpu, door.memory("VmHWM")?)?;
        report.note_sqlite(sqlite_of(directory.path()));
    }
    Ok(())
}

/// gRPC into the durable journal at 50,000 events/s.
pub(crate) async fn door_at_rate(report: &mut Report, extent: &Extent, lines: &Lines) -> Outcome<()> {
    let batches = simple(&lines.texts, 1);
    for _ in 0..extent.runs {
        let directory = tempfile::tempdir()?;
        let door = Measured::door(directory.path())?;
        load::grpc(door.grpc, &batches, extent.events / 40, None).await?;
        let cpu = door.cpu()?;
        let run = load::grpc(door.grpc, &batches, extent.events / 2, Some(50_000.0)).await?;
        let cpu = door.cpu()? - cpu;
        report.run("the same at 50,000 events/s", names!("paced"), &run, cpu, door.memory("VmHWM")?)?;
    }
    Ok(())
}

/// The same events as JSON lines over HTTP, one after the other with gRPC.
pub(crate) async fn door_rest(report: &mut Report, extent: &Extent, lines: &Lines) -> Outcome<()> {
    let batches = structured(&lines.texts);
    let bodies = json_lines(&batches)?;
    for _ in 0..extent.runs {
        let directory = tempfile::tempdir()?;
        let door = Measured::door(directory.path())?;
        let before = door.cpu()?;
        let run = load::grpc(door.grpc, &batches, extent.events / 2, None).await?;
        let grpc = door.cpu()? - before;
        let memory = door.memory("VmHWM")?;
        report.run("gRPC into the journal, 7 fields", names!("fields"), &run, grpc, memory)?;
        let before = door.cpu()?;
        let run = load::json_lines(door.http, &bodies, extent.events / 2).await?;
        let json = door.cpu()? - before;
        let memory = door.memory("VmHWM")?;
        report.run("JSON lines into the journal, 7 fields", names!("rest"), &run, json, memory)?;
        report.figures.note("rest.ratio", json / grpc);
    }
    Ok(())
}

/// gRPC in to searchable and durable in the store: all of `weir up`.
pub(crate) async fn whole(report: &mut Report, extent: &Extent, lines: &Lines) -> Outcome<()> {
    let batches = structured(&lines.texts);
    for _ in 0..extent.runs {
        let directory = tempfile::tempdir()?;
        let weir = Measured::weir(directory.path(), &[]).await?;
        let cpu = weir.cpu()?;
        let began = Instant::now();
        let mut run = load::grpc(weir.grpc, &batches, extent.events, None).await?;
        searchable(&weir, extent.events).await?;
        run.took = began.elapsed();
        let cpu = weir.cpu()? - cpu;
        let title = "all of weir, gRPC in to searchable";
        report.run(title, names!("whole"), &run, cpu, weir.memory("VmHWM")?)?;
    }
    Ok(())
}

async fn searchable(weir: &Measured, events: usize) -> Outcome<()> {
    const PATIENCE: Duration = Duration::from_secs(600);
    let audit = format!("http://{}/api/v1/audit", weir.http);
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let answer: serde_json::Value = reqwest::get(&audit).await?.json().await?;
        let delivered = answer["streams"][0]["delivered"].as_u64().unwrap_or(0);
        if delivered >= events as u64 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("not all events became searchable".into())
}

/// Nothing to do.
pub(crate) async fn idle(report: &mut Report, extent: &Extent) -> Outcome<()> {
    for _ in 0..extent.runs {
        let directory = tempfile::tempdir()?;
        let weir = Measured::weir(directory.path(), &[]).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let cpu = weir.cpu()?;
        tokio::time::sleep(Duration::from_secs(extent.idle_seconds)).await;
        let share = (weir.cpu()? - cpu) / extent.idle_seconds as f64 * 100.0;
        report.figures.note("idle.cpu", share);
        report.figures.note("idle.memory", weir.memory("VmRSS")?);
    }
    Ok(())
}

/// Killed with much delivered journal, and started again.
pub(crate) async fn restart(report: &mut Report, extent: &Extent, lines: &Lines) -> Outcome<()> {
    const SETTINGS: [(&str, &str); 2] =
        [("WEIR_JOURNAL__COMPRESSION", "none"), ("WEIR_JOURNAL__MAX_SIZE", "100GiB")];
    let batches = long(&lines.texts);
    let size = batches.iter().map(Bytes::len).sum::<usize>() / batches.len();
    let events = extent.journal_bytes / size * BATCH;
    let directory = tempfile::tempdir()?;
    let weir = Measured::weir(directory.path(), &SETTINGS).await?;
    load::grpc(weir.grpc, &batches, events, None).await?;
    searchable(&weir, events).await?;
    drop(weir);
    let bytes = files_of(&directory.path().join("journal"))?;
    report.figures.note("restart.bytes", bytes as f64 / 1e9);
    for _ in 0..extent.runs {
        let weir = Measured::weir(directory.path(), &SETTINGS).await?;
        report.figures.note("restart.ready", weir.ready_after.as_secs_f64());
    }
    Ok(())
}

fn files_of(directory: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
