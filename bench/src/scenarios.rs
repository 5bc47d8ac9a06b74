//! What is measured.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::child::Measured;
use crate::data::{json_lines, simple, structured};
use crate::load;
use crate::report::row;

const EVENTS: usize = 2_000_000;
const RUNS: usize = 3;

/// gRPC into the durable journal, as fast as it goes.
pub(crate) async fn door(lines: &[String]) -> Outcome<()> {
    let batches = simple(lines);
    for _ in 0..RUNS {
        let directory = tempfile::tempdir()?;
        let door = Measured::door(directory.path())?;
        load::grpc(door.grpc, &batches, 100_000, None).await?;
        let cpu = door.cpu()?;
        let run = load::grpc(door.grpc, &batches, EVENTS, None).await?;
        row("gRPC into the journal, 8 connections", &run, door.cpu()? - cpu, door.memory("VmHWM")?);
    }
    Ok(())
}

/// gRPC into the durable journal at 50,000 events/s.
pub(crate) async fn door_at_rate(lines: &[String]) -> Outcome<()> {
    let batches = simple(lines);
    let directory = tempfile::tempdir()?;
    let door = Measured::door(directory.path())?;
    load::grpc(door.grpc, &batches, 50_000, None).await?;
    let cpu = door.cpu()?;
    let run = load::grpc(door.grpc, &batches, 1_000_000, Some(50_000.0)).await?;
    row("the same at 50,000 events/s", &run, door.cpu()? - cpu, door.memory("VmHWM")?);
    Ok(())
}

/// The same events as JSON lines over HTTP, one after the other with gRPC.
pub(crate) async fn door_rest(lines: &[String]) -> Outcome<()> {
    let batches = structured(lines);
    let bodies = json_lines(&batches)?;
    for _ in 0..RUNS {
        let directory = tempfile::tempdir()?;
        let door = Measured::door(directory.path())?;
        let before = door.cpu()?;
        let run = load::grpc(door.grpc, &batches, EVENTS / 2, None).await?;
        row("gRPC into the journal, 7 fields", &run, door.cpu()? - before, door.memory("VmHWM")?);
        let before = door.cpu()?;
        let run = load::json_lines(door.http, &bodies, EVENTS / 2).await?;
        row("JSON lines into the journal, 7 fields", &run, door.cpu()? - before, door.memory("VmHWM")?);
    }
    Ok(())
}

/// gRPC in to searchable and durable in the store: all of `weir up`.
pub(crate) async fn whole(lines: &[String]) -> Outcome<()> {
    let batches = structured(lines);
    for _ in 0..RUNS {
        let directory = tempfile::tempdir()?;
        let weir = Measured::weir(directory.path()).await?;
        let cpu = weir.cpu()?;
        let began = Instant::now();
        let mut run = load::grpc(weir.grpc, &batches, EVENTS, None).await?;
        searchable(&weir, EVENTS).await?;
        run.took = began.elapsed();
        row("all of weir, gRPC in to searchable", &run, weir.cpu()? - cpu, weir.memory("VmHWM")?);
    }
    Ok(())
}

async fn searchable(weir: &Measured, events: usize) -> Outcome<()> {
    let audit = format!("http://{}/api/v1/audit", weir.http);
    for _ in 0..3000 {
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
pub(crate) async fn idle() -> Outcome<()> {
    const SECONDS: u64 = 10;
    let directory = tempfile::tempdir()?;
    let weir = Measured::weir(directory.path()).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let cpu = weir.cpu()?;
    tokio::time::sleep(Duration::from_secs(SECONDS)).await;
    let share = (weir.cpu()? - cpu) / SECONDS as f64 * 100.0;
    println!("\nIdle `weir up`: {share:.1} % of a core, {:.0} MiB resident.", weir.memory("VmRSS")?);
    Ok(())
}
