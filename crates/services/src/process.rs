//! A server as a process: started apart from its starter, waited for, stopped by its id.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::error::{ServiceError, trying};

/// How long a start may take: measured 2 to 60 s, the longest on a busy machine.
const START: Duration = Duration::from_secs(300);
/// How long an end may take before the process is killed.
const STOP: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_millis(50);

/// What the processes read that end others when this one has ended.
static LEASHES: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// How to start a server, as often as wanted.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// As it is called in messages.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Where it runs and keeps its log.
    pub(crate) directory: PathBuf,
    /// The package to install when the program is missing.
    pub(crate) package: &'static str,
}

/// A running server and the group of processes that it leads; ends when dropped, unless it was detached.
#[derive(Debug)]
struct Process {
    spec: Spec,
    child: Child,
    detached: bool,
}

/// A server that can be killed and started again as it was.
#[derive(Debug)]
pub(crate) struct Server {
    spec: Spec,
    process: Option<Process>,
}

impl Server {
    /// Not started yet.
    pub(crate) fn new(spec: Spec) -> Self {
        Self { spec, process: None }
    }

    pub(crate) fn start(&mut self, ready: impl Fn(&Spec) -> bool) -> Result<(), ServiceError> {
        self.process = Some(self.spec.start(ready)?);
        Ok(())
    }

    /// Ends it without warning, as a crash does.
    pub(crate) fn kill(&mut self) -> Result<(), ServiceError> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), ServiceError> {
        self.process.as_ref().map_or(Ok(()), |process| process.signal(signal))
    }

    /// Where its log is.
    pub(crate) fn log(&self) -> PathBuf {
        self.spec.log()
    }

    /// Lets it live on without its starter; nothing if it does not run.
    pub(crate) fn into_detached(self) -> Option<Identity> {
        self.process.and_then(Process::into_detached)
    }
}

impl Server {
    /// Lets it live as long as this process, and its directory with it: a shell waits for the end of what it reads,
    /// which comes when the process is gone.
    pub(crate) fn into_leashed(self, directory: &Path) -> Result<(), ServiceError> {
        let Some(Identity { id, .. }) = self.into_detached() else { return Ok(()) };
        let leash = Command::new("sh")
            .args(["-c", "cat >/dev/null; kill -s KILL -- \"-$0\"; sleep 1; rm -rf -- \"$1\""])
            .arg(id.to_string())
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(trying("keep a server on a leash"))?;
        // Never dropped, so that it is open until the process ends.
        LEASHES.lock().unwrap_or_else(PoisonError::into_inner).push(leash);
        Ok(())
    }
}

impl Spec {
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.name))
    }

    /// Starts it and waits until `ready`.
    fn start(&self, ready: impl Fn(&Spec) -> bool) -> Result<Process, ServiceError> {
        let mut process = self.spawn()?;
        let began = Instant::now();
        loop {
            if ready(self) {
                return Ok(process);
            }
            if process.child.try_wait().map_err(trying("wait for a server"))?.is_some() {
                return Err(ServiceError::Ended {
                    what: self.name.clone(),
                    log: self.log(),
                    tail: tail(&self.log(), 2000),
                });
            }
            if began.elapsed() > START {
                return Err(ServiceError::NotReady {
                    what: self.name.clone(),
                    waited: START,
                    log: self.log(),
                });
            }
            std::thread::sleep(EVERY);
        }
    }

    fn spawn(&self) -> Result<Process, ServiceError> {
        fs::create_dir_all(&self.directory)
            .map_err(trying(format!("create `{}`", self.directory.display())))?;
        let log = File::create(self.log()).map_err(trying(format!("create `{}`", self.log().display())))?;
        let again = log.try_clone().map_err(trying("share a log"))?;
        let spawned = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(again)
            // A signal to the starter's group is not for the server.
            .process_group(0)
            .spawn();
        match spawned {
            Ok(child) => Ok(Process { spec: self.clone(), child, detached: false }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(ServiceError::Missing {
                program: self.program.display().to_string(),
                package: self.package,
            }),
            Err(error) => Err(trying(format!("start {}", self.name))(error)),
        }
    }
}

impl Process {
    fn into_detached(mut self) -> Option<Identity> {
        self.detached = true;
        Identity::of(self.child.id())
    }

    fn signal(&self, signal: Signal) -> Result<(), ServiceError> {
        let action = || format!("signal {}", self.spec.name);
        kill_process(Pid::from_child(&self.child), signal).map_err(|error| trying(action())(error.into()))
    }

    /// Ends it without warning, as a crash does, with the processes that it started: those of its group, and its
    /// children that made groups of their own. Returns when they are gone.
    fn kill(&mut self) -> Result<(), ServiceError> {
        let pid = Pid::from_child(&self.child);
        // An error of a signal means that it has ended by itself. Asleep it starts nothing more.
        kill_process(pid, Signal::STOP).ok();
        let children = Identity::children_of(self.child.id());
        kill_process_group(pid, Signal::KILL).ok();
        let ended = self.child.wait().map(drop).map_err(trying("wait for the end of a server"));
        children.into_iter().try_for_each(Identity::kill)?;
        ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.detached {
            // It may have ended by itself.
            drop(self.kill());
        }
    }
}

/// A process of any starter: its id, and when it began, so that nobody else who got the id later is taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: u32,
    /// In clock ticks since the machine started.
    pub(crate) began: u64,
}

impl Identity {
    /// Of a living process.
    pub(crate) fn of(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name in parentheses may hold anything; field 3 follows it, field 22 is the start.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?;
        let began = fields.nth(18)?.parse().ok()?;
        (state != "Z").then_some(Self { id, began })
    }

    /// Of the living processes that it started.
    fn children_of(id: u32) -> Vec<Self> {
        let started = |id: u32| {
            let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            let (_, fields) = text.rsplit_once(')')?;
            fields.split_ascii_whitespace().nth(1)?.parse::<u32>().ok()
        };
        let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
        let ids = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        ids.filter(|child| started(*child) == Some(id)).filter_map(Self::of).collect()
    }

    fn lives(self) -> bool {
        Self::of(self.id) == Some(self)
    }

    /// Ends it without warning and waits until it is gone.
    fn kill(self) -> Result<(), ServiceError> {
        let Some(pid) = i32::try_from(self.id).ok().and_then(Pid::from_raw) else { return Ok(()) };
        let began = Instant::now();
        while self.lives() {
            // It may have ended meanwhile.
            kill_process(pid, Signal::KILL).ok();
            if began.elapsed() > STOP {
                let source = std::io::ErrorKind::TimedOut.into();
                return Err(trying(format!("end process {}", self.id))(source));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Asks it to end by a signal, waits, kills it with its whole group if it does not.
    pub(crate) fn stop(self, ending: Signal) -> Result<(), ServiceError> {
        let failed = |error: rustix::io::Errno| trying(format!("end process {}", self.id))(error.into());
        let Some(pid) = i32::try_from(self.id).ok().and_then(Pid::from_raw) else { return Ok(()) };
        if !self.lives() {
            return Ok(());
        }
        kill_process(pid, ending).map_err(failed)?;
        let asked = Instant::now();
        while self.lives() {
            if asked.elapsed() > STOP {
                kill_process_group(pid, Signal::KILL).map_err(failed)?;
                break;
            }
            std::thread::sleep(EVERY);
        }
        Ok(())
    }
}

/// A directory for a server that outlives whoever started it; see [`Server::into_leashed`].
pub(crate) fn lasting_directory() -> Result<PathBuf, ServiceError> {
    let directory = tempfile::Builder::new().prefix("weir-node-").tempdir();
    directory.map(tempfile::TempDir::keep).map_err(trying("make a directory for a node"))
}

/// The last bytes of a text file.
pub(crate) fn tail(path: &Path, bytes: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let from = text.len().saturating_sub(bytes);
    String::from_utf8_lossy(text.get(from..).unwrap_or_default()).into_owned()
}

/// What a server answers to these bytes until it closes the connection; nothing if it does not, or not yet.
pub(crate) fn ask(address: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
    let wait = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, wait).ok()?;
    stream.set_read_timeout(Some(wait)).ok()?;
    stream.write_all(question).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(answer)
}

/// The answer to an HTTP GET, headers included.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<String> {
    let question = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    ask(address, question.as_bytes()).map(|answer| String::from_utf8_lossy(&answer).into_owned())
}
