//! The binary as a child process.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::RngExt as _;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit, setrlimit};

use crate::cli::{Outcome, Running};
use crate::wait::until;

/// A running `weir up` and where it listens.
#[derive(Debug)]
pub struct Weir {
    child: Child,
    pub addresses: Addresses,
}

/// Addresses that stay the same when the process is started again.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub ingest: SocketAddr,
    pub enrolment: SocketAddr,
    pub ops: SocketAddr,
}

/// How to start it.
#[derive(Debug, Clone)]
pub struct Setup {
    pub data_dir: PathBuf,
    pub addresses: Addresses,
    /// Settings beside the addresses, as environment variables.
    pub settings: Vec<(String, String)>,
}

/// How long a start or an end may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test: named by `WEIR_BIN`, or the one beside this test's own executable.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("WEIR_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test has an executable");
    let directory = test.ancestors().nth(2).expect("it is in target/<profile>/deps");
    let path = directory.join("weir");
    assert!(
        path.exists(),
        "`{}` is missing: run `cargo build -p weir` first, or set WEIR_BIN",
        path.display()
    );
    path
}

/// Lets this process open as many files as the system allows it at all.
pub fn allow_open_files(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    let enough = limit.maximum.is_none_or(|maximum| maximum >= needed);
    assert!(enough, "{needed} open files are needed: raise the hard limit (`ulimit -Hn`) of {limit:?}");
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to the hard limit");
}

impl Addresses {
    /// Addresses that were free a moment ago, and that this process gives nobody else.
    pub fn free() -> Self {
        Self {
            http: free_address(),
            grpc: free_address(),
            ingest: free_address(),
            enrolment: free_address(),
            ops: free_address(),
        }
    }
}

/// Below those that the system gives to whoever asks for any, also to connections that go out: an address is to be free
/// still when a process that was killed is started again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// An address that was free a moment ago, and that this process gives nobody else.
pub fn free_address() -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], rand::rng().random_range(PORTS)));
        if TcpListener::bind(address).is_ok() && given.insert(address.port()) {
            return address;
        }
    }
}

impl Setup {
    pub fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), addresses: Addresses::free(), settings: Vec::new() }
    }

    /// Adds a setting by its path, as in `store.seal_after`.
    #[must_use]
    pub fn with(mut self, path: &str, value: &str) -> Self {
        let name = format!("WEIR_{}", path.to_uppercase().replace('.', "__"));
        self.settings.push((name, value.to_owned()));
        self
    }

    /// Small heads are sealed all the time, small segments merged all the time, and journal files rolled.
    #[must_use]
    pub fn restless(self) -> Self {
        self.with("store.seal_after", "1s")
            .with("store.head_memory", "4MiB")
            .with("journal.file_size", "1MiB")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments);
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        command
            .env_clear()
            .env("TZ", "UTC")
            .env("WEIR_SERVER", self.addresses.http.to_string())
            .env("WEIR_DATA_DIR", &self.data_dir)
            .env("WEIR_LISTEN__HTTP", self.addresses.http.to_string())
            .env("WEIR_LISTEN__OPS", self.addresses.ops.to_string())
            .env("WEIR_PRODUCER__GRPC_LISTEN", self.addresses.grpc.to_string())
            .env("WEIR_PRODUCER__INGEST_LISTEN", self.addresses.ingest.to_string())
            .env("WEIR_FLEET__ENROL_LISTEN", self.addresses.enrolment.to_string())
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
    }

    /// Starts it and answers at once.
    pub fn spawn(&self) -> Weir {
        self.spawn_with(&[])
    }

    fn spawn_with(&self, flags: &[&str]) -> Weir {
        let arguments = [&["up"], flags].concat();
        let child = self.command(&arguments).stdout(Stdio::null()).spawn().expect("the binary starts");
        Weir { child, addresses: self.addresses }
    }

    /// Starts it; its log is answered when it has ended.
    pub fn spawn_logged(&self) -> (Weir, JoinHandle<String>) {
        self.spawn_logged_as(self.command(&["up"]))
    }

    /// Starts it so that a write beyond the limit on the size of its files fails, where the signal would end
    /// it. Its log is answered when it has ended.
    pub fn spawn_with_failing_writes(&self) -> (Weir, JoinHandle<String>) {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" up"]).arg(binary());
        self.prepare(&mut shell);
        self.spawn_logged_as(shell)
    }

    fn spawn_logged_as(&self, mut command: Command) -> (Weir, JoinHandle<String>) {
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let mut stderr = child.stderr.take().expect("it is piped");
        let log = std::thread::spawn(move || {
            let mut log = Vec::new();
            stderr.read_to_end(&mut log).expect("the log can be read");
            String::from_utf8_lossy(&log).into_owned()
        });
        (Weir { child, addresses: self.addresses }, log)
    }

    /// Starts this command, which listens where the setup says, and waits until it is ready.
    pub async fn start_as(&self, mut command: Command) -> Weir {
        let child = command.stdout(Stdio::null()).spawn().expect("the program starts");
        let mut weir = Weir { child, addresses: self.addresses };
        weir.ready().await;
        weir
    }

    /// Starts it and waits until it is ready.
    pub async fn start(&self) -> Weir {
        self.start_with(&[]).await
    }

    /// Starts it with flags and waits until it is ready.
    pub async fn start_with(&self, flags: &[&str]) -> Weir {
        let mut weir = self.spawn_with(flags);
        weir.ready().await;
        weir
    }

    /// Starts it as a shell with a limit of open files does, and waits until it is ready: `-Sn 1024` is a limit
    /// that the process may raise, `-n 1024` one that it may not.
    pub async fn start_under_limit(&self, limit: &str) -> Weir {
        let script = format!("ulimit {limit} && exec \"$0\" up");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script]).arg(binary());
        self.prepare(&mut command);
        self.start_as(command).await
    }

    /// Runs a command of the CLI, which finds the running process, to its end.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.feed(arguments, b"")
    }

    /// Runs a command that reads this on its standard input, to its end.
    pub fn feed(&self, arguments: &[&str], input: &[u8]) -> Outcome {
        Running::start(self.command(arguments), input).outcome()
    }
}

impl Weir {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub async fn ready(&mut self) {
        let url = format!("http://{}/readyz", self.addresses.ops);
        let child = &mut self.child;
        until("the process is ready", PATIENCE, async || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the process ended before it was ready: {status}");
            }
            let answer = reqwest::get(&url).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// Status and text of `/readyz?verbose`, or nothing if it does not answer.
    pub async fn readiness(&self) -> Option<(u16, String)> {
        let url = format!("http://{}/readyz?verbose", self.addresses.ops);
        let answer = reqwest::get(url).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// A request that the process has begun to take. Unfinished, it holds the first phase of the drain up to the
    /// deadline of that phase.
    pub fn unfinished_request(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.addresses.http).expect("the door is open");
        let head = "POST /api/v1/apps/slow/events HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\
                    content-length: 1000\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("the door is open");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("it asks for the body");
        assert_eq!(&answer, b"HTTP/1.1 100", "{}", String::from_utf8_lossy(&answer));
        stream
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was started here");
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it runs");
    }

    /// From now on no file of the process grows beyond this many bytes.
    pub fn limit_files(&self, bytes: u64) {
        let limit = Rlimit { current: Some(bytes), maximum: None };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit).expect("it runs");
    }

    /// Waits until the process ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("the process ends", PATIENCE, async || child.try_wait().expect("it was started here")).await
    }

    /// SIGTERM, and waits for the end.
    pub async fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Whether it has a thread of this name that nobody traces.
    pub fn has_untraced(&self, thread: &str) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs").flatten();
        // A thread may end meanwhile.
        let mut status = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
        let value = |status: &str, name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells it");
            line.trim().to_owned()
        };
        status.any(|status| value(&status, "Name:") == thread && value(&status, "TracerPid:") == "0")
    }

    /// Files and connections that it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count()
    }

    /// Peak resident memory so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
        kib * 1024
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        // Ended already, or a test failed and must not leave it behind.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}
