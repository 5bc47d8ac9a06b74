//! Commands of the CLI as processes: what they print while they run, and how they end.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

/// How long a command may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether a command has ended.
const EVERY: Duration = Duration::from_millis(5);

/// A command that runs. It ends with this.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: Reader,
    err: Reader,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

/// Reads what a process prints, as it comes.
#[derive(Debug)]
struct Reader {
    text: Arc<Mutex<Vec<u8>>>,
    /// Until its end is waited for.
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts a command, with this to read on its standard input.
    pub fn start(mut command: Command, input: &[u8]) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let (out, err) = (Reader::of(child.stdout.take()), Reader::of(child.stderr.take()));
        let (mut stdin, input) = (child.stdin.take().expect("it is piped"), input.to_owned());
        // A command that does not read it may end before it is written.
        std::thread::spawn(move || stdin.write_all(&input).ok());
        Self { child, out, err }
    }

    /// What it has printed so far.
    pub fn out(&self) -> String {
        self.out.so_far()
    }

    /// What it has said on standard error so far.
    pub fn err(&self) -> String {
        self.err.so_far()
    }

    /// Waits until it ends by itself.
    pub fn outcome(mut self) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it was started here") {
                break status;
            }
            let late = Instant::now() > deadline;
            assert!(!late, "it does not end: {}{}", self.out.so_far(), self.err.so_far());
            std::thread::sleep(EVERY);
        };
        Outcome { status, out: self.out.whole(), err: self.err.whole() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, or a test failed and must not leave it behind.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

impl Outcome {
    /// Panics unless the command ended well. Answers with what it printed.
    pub fn good(self) -> String {
        assert!(self.status.success(), "{}: {}{}", self.status, self.out, self.err);
        self.out
    }

    /// What a command that ended well printed as JSON, line by line.
    pub fn json<T: DeserializeOwned>(self) -> Vec<T> {
        let out = self.good();
        let line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        out.lines().map(line).collect()
    }
}

impl Reader {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let mut pipe = pipe.expect("it is piped");
        let text = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&text);
        let thread = std::thread::spawn(move || {
            let mut piece = [0; 8192];
            while let Ok(count @ 1..) = pipe.read(&mut piece) {
                read.lock().unwrap().extend_from_slice(&piece[..count]);
            }
        });
        Self { text, thread: Some(thread) }
    }

    /// What was read so far, which has no colours: a pipe is no terminal.
    fn so_far(&self) -> String {
        let text = String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned();
        assert!(!text.contains('\u{1b}'), "there are colours in it: {text:?}");
        text
    }

    /// All of it, when the process has ended.
    fn whole(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("reading does not panic");
        }
        self.so_far()
    }
}
