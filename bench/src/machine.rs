//! On what it was measured.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

#[derive(Debug)]
pub(crate) struct Machine {
    weir: String,
    rustc: String,
    processor: String,
    memory: String,
    kernel: String,
    disk: String,
    load: String,
    /// Known once there is a journal.
    pub(crate) sqlite: Option<String>,
}

impl Machine {
    /// `directory` is where the data are written.
    pub(crate) fn new(directory: &Path) -> Self {
        let commit = said("git", &["describe", "--always", "--dirty"]);
        Self {
            weir: format!("{} at commit {commit}", env!("CARGO_PKG_VERSION")),
            rustc: said("rustc", &["--version"]),
            processor: processor(),
            memory: memory(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            disk: disk(directory).unwrap_or_else(|| "unknown".to_owned()),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            sqlite: None,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "* Machine: {}, {} of memory, Linux {}", self.processor, self.memory, self.kernel)?;
        writeln!(f, "* Data on: {}", self.disk)?;
        let sqlite = self.sqlite.as_deref().unwrap_or("unknown");
        writeln!(f, "* Versions: weir {}, {}, SQLite {sqlite}", self.weir, self.rustc)?;
        writeln!(f, "* Load average when it began: {}", self.load)
    }
}

/// The version of SQLite that wrote a journal's files: bytes 96 to 99 of a database.
pub(crate) fn sqlite_of(journal: &Path) -> Option<String> {
    let files = fs::read_dir(journal).ok()?.flatten();
    files.into_iter().find_map(|entry| {
        let mut head = [0; 100];
        fs::File::open(entry.path()).ok()?.read_exact(&mut head).ok()?;
        let number = u32::from_be_bytes(*head.last_chunk()?);
        let version = format!("{}.{}.{}", number / 1_000_000, number / 1000 % 1000, number % 1000);
        head.starts_with(b"SQLite format 3\0").then_some(version)
    })
}

fn processor() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = line_of("/proc/cpuinfo", "model name");
    format!("{cores} x {}", model.trim_start_matches([':', ' ', '\t']))
}

fn memory() -> String {
    let kib: u64 = line_of("/proc/meminfo", "MemTotal:").trim_end_matches(" kB").parse().unwrap_or(0);
    format!("{} GiB", kib >> 20)
}

/// File system, device and size of what a directory lies on: the longest mount point that leads to it.
fn disk(directory: &Path) -> Option<String> {
    let directory = fs::canonicalize(directory).ok()?;
    let mounts = read("/proc/mounts");
    let mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mounts = mounts.filter(|fields| fields.len() > 3 && directory.starts_with(fields[1]));
    let mount = mounts.max_by_key(|fields| fields[1].len())?;
    let device = mount[0].trim_start_matches("/dev/");
    let class = format!("/sys/class/block/{device}");
    let gib = read(&format!("{class}/size")).trim().parse().map(|sectors: u64| sectors >> 21).unwrap_or(0);
    Some(format!("{} ({}) on {} of {gib} GiB", mount[2], mount[3], mount[0]))
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn line_of(file: &str, start: &str) -> String {
    let text = read(file);
    text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default().trim().to_owned()
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}
