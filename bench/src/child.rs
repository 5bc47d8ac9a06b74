//! A measured process.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Measured {
    child: Child,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) ops: SocketAddr,
    /// From its start until it said that it is ready.
    pub(crate) ready_after: Duration,
}

impl Measured {
    /// The producer over the journal, alone.
    pub(crate) fn door(directory: &Path) -> Outcome<Self> {
        let began = Instant::now();
        let mut child = Command::new(sibling("door")?).arg(directory).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("the child's output is piped")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let (grpc, http) = line.trim().split_once(' ').ok_or("the door did not say where it is")?;
        let ready_after = began.elapsed();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let (grpc, http) = (grpc.parse()?, http.parse()?);
        Ok(Self { child, grpc, http, ops: nowhere, ready_after })
    }

    /// All of weir, with these variables.
    pub(crate) async fn weir(directory: &Path, settings: &[(&str, &str)]) -> Outcome<Self> {
        let mut command = Command::new(sibling("weir")?);
        command.arg("up").arg("--data-dir").arg(directory).envs(settings.iter().copied());
        Self::listening(command).await
    }

    /// The producer over these brokers, with these variables.
    pub(crate) async fn producer(brokers: &str, format: &str, settings: &[(&str, &str)]) -> Outcome<Self> {
        let mut command = Command::new(sibling("weir")?);
        command.arg("producer").envs(settings.iter().copied());
        command.env("WEIR_KAFKA__BROKERS", brokers).env("WEIR_PRODUCER__RECORD_FORMAT", format);
        Self::listening(command).await
    }

    /// A consumer of this group from these brokers to this store.
    pub(crate) async fn consumer(directory: &Path, brokers: &str, store: &str, group: &str) -> Outcome<Self> {
        let mut command = Command::new(sibling("weir")?);
        command.arg("consumer").arg("--data-dir").arg(directory.join(group));
        command.env("WEIR_KAFKA__BROKERS", brokers).env("WEIR_ELASTICSEARCH__URLS", store);
        command.env("WEIR_CONSUMER__GROUP", group);
        Self::listening(command).await
    }

    /// An agent with this settings file, which enrols with this access key.
    pub(crate) async fn agent(directory: &Path, config: &Path, key: &str) -> Outcome<Self> {
        let mut command = Command::new(sibling("weir")?);
        command.args(["agent", "run", "--config"]).arg(config).arg("--data-dir").arg(directory);
        command.env("WEIR_KEY", key);
        let [ops, ..] = free()?;
        command.env("WEIR_LISTEN__OPS", ops.to_string());
        Self::ready(command, [ops; 3]).await
    }

    /// An access key for agents of an app, which is made; of a server that keeps its files there.
    pub(crate) fn key(&self, directory: &Path, app: &str) -> Outcome<String> {
        let run = |arguments: &[&str]| -> Outcome<String> {
            let mut command = Command::new(sibling("weir")?);
            command.args(arguments).env("WEIR_SERVER", format!("http://{}", self.http));
            command.env("WEIR_TOKEN_FILE", directory.join("operator.token"));
            let output = command.output()?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
            }
            Ok(String::from_utf8(output.stdout)?)
        };
        run(&["app", "create", app])?;
        let line = run(&["agent", "key", "create", "bench", "--app", app])?;
        let key = line.split_whitespace().find_map(|word| word.strip_prefix("WEIR_KEY="));
        Ok(key.ok_or("no access key was printed")?.to_owned())
    }

    /// Starts a weir on free ports and waits until it is ready.
    async fn listening(mut command: Command) -> Outcome<Self> {
        let addresses = free()?;
        let [grpc, http, ops] = addresses;
        command
            .env("WEIR_LISTEN__HTTP", http.to_string())
            .env("WEIR_LISTEN__OPS", ops.to_string())
            .env("WEIR_PRODUCER__GRPC_LISTEN", grpc.to_string())
            .env("WEIR_PRODUCER__INGEST_LISTEN", "127.0.0.1:0")
            .env("WEIR_FLEET__ENROL_LISTEN", "127.0.0.1:0");
        Self::ready(command, addresses).await
    }

    async fn ready(mut command: Command, [grpc, http, ops]: [SocketAddr; 3]) -> Outcome<Self> {
        let began = Instant::now();
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut measured = Self { child, grpc, http, ops, ready_after: Duration::ZERO };
        let url = format!("http://{ops}/readyz");
        while began.elapsed() < PATIENCE {
            if reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                measured.ready_after = began.elapsed();
                return Ok(measured);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Err("weir did not become ready".into())
    }

    /// CPU-seconds so far, of user and system.
    pub(crate) fn cpu(&self) -> Outcome<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        // Linux counts in hundredths for user space, whatever its own ticks are.
        Ok((field(11) + field(12)) / 100.0)
    }

    /// A line of /proc/<pid>/status in MiB, such as `VmHWM`, the peak of resident memory.
    pub(crate) fn memory(&self, name: &str) -> Outcome<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
        let kib: f64 = line.trim_start_matches(':').split_whitespace().next().unwrap_or("0").parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

/// Addresses that were free a moment ago.
fn free() -> Outcome<[SocketAddr; 3]> {
    let bind = || TcpListener::bind("127.0.0.1:0");
    // All are held until all are known, so that no two are the same.
    let held = [bind()?, bind()?, bind()?];
    Ok([held[0].local_addr()?, held[1].local_addr()?, held[2].local_addr()?])
}

/// A program beside this one.
pub(crate) fn sibling(name: &str) -> Outcome<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("`{}` is missing, see `make bench`", path.display()).into())
    }
}
