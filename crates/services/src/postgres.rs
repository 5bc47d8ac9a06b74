//! Postgres of the distribution, with an own data folder.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::geteuid;

use crate::error::{ServiceError, trying};
use crate::home::free_ports;
use crate::install;
use crate::process::{self, Identity, Server, Spec};

const NAME: &str = "postgres";
const PACKAGE: &str = "postgresql";
/// As whom it runs where the tests are root, whom it refuses: in a user namespace of its own, without such a user.
const SOMEBODY: [&str; 3] = ["-U", "--map-user=1000", "--map-group=1000"];
/// Where Debian keeps its programs, in a folder for each version: they are not on the path.
const VERSIONS: &str = "/usr/lib/postgresql";

/// A server that ends when dropped. What it was given is there when it is started again.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    address: SocketAddr,
}

/// The certificate that a server shows, and its key, as PEM.
#[derive(Clone)]
pub struct Shown {
    pub certificate: String,
    pub key: String,
}

impl Postgres {
    /// Who may do everything, in the database `postgres` and all others.
    pub const USER: &str = "postgres";
    /// The password of [`Postgres::USER`]. Only this machine can connect.
    pub const PASSWORD: &str = "of loopback";

    /// Makes and starts one with its data and its log under `directory`. It wants passwords, by SCRAM.
    pub fn start(directory: &Path) -> Result<Self, ServiceError> {
        Self::make(directory, None)
    }

    /// The same; who asks for TLS is answered by it.
    pub fn start_tls(directory: &Path, shown: &Shown) -> Result<Self, ServiceError> {
        Self::make(directory, Some(shown))
    }

    /// One for as long as this process lives, however it ends; for tests that share it.
    pub fn start_lasting() -> Result<SocketAddr, ServiceError> {
        let directory = process::lasting_directory()?;
        let postgres = Self::start(&directory)?;
        let address = postgres.address;
        postgres.server.into_leashed(&directory)?;
        Ok(address)
    }

    fn make(directory: &Path, shown: Option<&Shown>) -> Result<Self, ServiceError> {
        let programs = programs()?;
        let data = directory.join("data");
        initialize(&programs, directory, &data)?;
        let port = free_ports(1)?.first().copied().unwrap_or_default();
        let mut arguments =
            vec!["-D".to_owned(), data.display().to_string(), "-p".to_owned(), port.to_string()];
        let mut set = |setting: &str| arguments.extend(["-c".to_owned(), setting.to_owned()]);
        set("listen_addresses=127.0.0.1");
        set("unix_socket_directories=");
        set("max_connections=200");
        set("shared_buffers=32MB");
        // Many short-lived servers do not keep segments.
        set("max_wal_size=128MB");
        if let Some(shown) = shown {
            for (name, setting, text) in [
                ("server.pem", "ssl_cert_file", &shown.certificate),
                ("server.key", "ssl_key_file", &shown.key),
            ] {
                let file = directory.join(name);
                write_private(&file, text)?;
                set(&format!("{setting}={}", file.display()));
            }
            set("ssl=on");
        }
        let (program, arguments) = as_somebody(programs.join("postgres"), arguments);
        let spec = Spec {
            name: NAME.to_owned(),
            program,
            arguments,
            environment: Vec::new(),
            directory: directory.to_owned(),
            package: PACKAGE,
        };
        let mut postgres = Self { server: Server::new(spec), address: (Ipv4Addr::LOCALHOST, port).into() };
        postgres.restart()?;
        Ok(postgres)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has said.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.server.log()
    }

    /// Ends it as a crash does, with the processes of its connections.
    pub fn kill(&mut self) -> Result<(), ServiceError> {
        self.server.kill()
    }

    /// Starts it again at the same address, with what it had made durable. Its log begins anew.
    pub fn restart(&mut self) -> Result<(), ServiceError> {
        let address = self.address;
        self.server.start(|_| takes_connections(address))
    }

    pub(crate) fn detach(self) -> Option<Identity> {
        self.server.into_detached()
    }
}

/// The folder with `initdb` and `postgres`: of the path, else of the newest version that is there.
fn programs() -> Result<PathBuf, ServiceError> {
    let of_path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&of_path).collect();
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(VERSIONS)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| (entry.file_name().to_string_lossy().parse().unwrap_or(0), entry.path().join("bin")))
        .collect();
    versions.sort();
    folders.extend(versions.into_iter().rev().map(|(_, folder)| folder));
    folders.push("/usr/local/pgsql/bin".into());
    let found = folders
        .into_iter()
        .find(|folder| ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file()));
    found.ok_or_else(|| ServiceError::Missing { program: "initdb".to_owned(), package: PACKAGE })
}

fn initialize(programs: &Path, directory: &Path, data: &Path) -> Result<(), ServiceError> {
    fs::create_dir_all(directory).map_err(trying(format!("create `{}`", directory.display())))?;
    let password = directory.join("password");
    write_private(&password, Postgres::PASSWORD)?;
    let mut arguments: Vec<String> =
        ["-A", "scram-sha-256", "--no-sync", "--locale=C", "-E", "UTF8", "-U"].map(str::to_owned).to_vec();
    arguments.push(Postgres::USER.to_owned());
    arguments.push(format!("--pwfile={}", password.display()));
    arguments.push(format!("--pgdata={}", data.display()));
    let (program, arguments) = as_somebody(programs.join("initdb"), arguments);
    install::run(NAME, PACKAGE, Command::new(program).args(arguments).current_dir(directory)).map(drop)
}

fn as_somebody(program: PathBuf, mut arguments: Vec<String>) -> (PathBuf, Vec<String>) {
    if !geteuid().is_root() {
        return (program, arguments);
    }
    arguments.splice(0..0, SOMEBODY.map(str::to_owned).into_iter().chain([program.display().to_string()]));
    ("unshare".into(), arguments)
}

fn write_private(file: &Path, text: &str) -> Result<(), ServiceError> {
    let mut options = fs::File::options();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(file);
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
    written.map_err(trying(format!("write `{}`", file.display())))
}

/// Whether it asks who is there; while it starts it says that it does.
fn takes_connections(address: SocketAddr) -> bool {
    let wait = Duration::from_secs(5);
    let asked = || -> std::io::Result<u8> {
        let mut stream = TcpStream::connect_timeout(&address, wait)?;
        stream.set_read_timeout(Some(wait))?;
        // Protocol 3.0, and who wants to connect.
        let body = b"\0\x03\0\0user\0postgres\0\0";
        let length = u32::try_from(body.len() + 4).unwrap_or_default();
        stream.write_all(&[&length.to_be_bytes(), &body[..]].concat())?;
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        Ok(kind[0])
    };
    asked().is_ok_and(|kind| kind == b'R')
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}
