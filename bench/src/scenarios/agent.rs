//! What an enrolled agent costs: files to a server that has them durably, by TLS.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::child::Measured;
use crate::data::Lines;
use crate::report::Report;
use crate::{Extent, Outcome};

/// Files that are open at once, of which all have lines.
const MANY: usize = 1_000;

const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) async fn agent(report: &mut Report, extent: &Extent, lines: &Lines) -> Outcome<()> {
    for _ in 0..extent.runs {
        let directory = tempfile::tempdir()?;
        let bytes = write(directory.path(), &lines.texts, extent.events, 1)?;
        let (_server, agent, began) = start(directory.path()).await?;
        stored(&agent, bytes).await?;
        let took = began.elapsed().as_secs_f64();
        let millions = extent.events as f64 / 1e6;
        report.figures.note("agent.cpu", agent.cpu()? / millions);
        report.figures.note("agent.rate", extent.events as f64 / took);
        report.figures.note("agent.memory", agent.memory("VmHWM")?);
        report.figures.note("agent_idle.cpu", idle(&agent, extent).await?);
        report.figures.note("agent_idle.memory", agent.memory("VmRSS")?);
    }
    for _ in 0..extent.runs {
        let directory = tempfile::tempdir()?;
        let bytes = write(directory.path(), &lines.texts, extent.events, MANY)?;
        let (_server, agent, _) = start(directory.path()).await?;
        stored(&agent, bytes).await?;
        report.figures.note("agent_many.memory", agent.memory("VmHWM")?);
        report.figures.note("agent_many_idle.cpu", idle(&agent, extent).await?);
    }
    Ok(())
}

/// Per cent of a core that it takes while nothing is written.
async fn idle(agent: &Measured, extent: &Extent) -> Outcome<f64> {
    let cpu = agent.cpu()?;
    tokio::time::sleep(Duration::from_secs(extent.idle_seconds)).await;
    Ok((agent.cpu()? - cpu) / extent.idle_seconds as f64 * 100.0)
}

/// A server and an agent that reads the files of this folder; and when it was started.
async fn start(directory: &Path) -> Outcome<(Measured, Measured, Instant)> {
    let kept = directory.join("server");
    let server = Measured::weir(&kept, &[]).await?;
    let key = server.key(&kept, "bench")?;
    let config = directory.join("agent.yaml");
    let paths = directory.join("logs/*.log");
    std::fs::write(&config, format!("inputs: [{{app: bench, paths: ['{}']}}]\n", paths.display()))?;
    let began = Instant::now();
    let agent = Measured::agent(&directory.join("agent"), &config, &key).await?;
    Ok((server, agent, began))
}

/// Writes so many lines into so many files; their bytes.
fn write(directory: &Path, texts: &[String], events: usize, files: usize) -> Outcome<u64> {
    let folder = directory.join("logs");
    std::fs::create_dir(&folder)?;
    let mut texts = texts.iter().cycle();
    let mut bytes = 0;
    for number in 0..files {
        let path = folder.join(format!("{number}.log"));
        let mut file = BufWriter::new(File::create(path)?);
        for text in texts.by_ref().take(events / files) {
            writeln!(file, "{text}")?;
            bytes += text.len() as u64 + 1;
        }
        file.flush()?;
    }
    Ok(bytes)
}

/// Waits until the server has so many bytes of files durably, by the word that it gave the agent.
async fn stored(agent: &Measured, bytes: u64) -> Outcome<()> {
    let url = format!("http://{}/metrics", agent.ops);
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let text = reqwest::get(&url).await?.text().await?;
        let name = "weir_agent_stored_bytes_total ";
        let stored = text.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok());
        if stored >= Some(bytes) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("the server does not have all lines".into())
}
