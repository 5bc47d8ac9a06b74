//! Tasks of the tree itself: `cargo xtask tidy`, `cargo xtask codegen`.

mod codegen;
mod tidy;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use weir_services::{Home, Service};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Tasks of the tree itself")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Write the Rust code and descriptors of `proto/`
    Codegen {
        /// Change nothing; fail if a committed file is not up to date
        #[arg(long)]
        check: bool,
    },
    /// Start or stop real servers for tests; prints where each listens
    #[command(subcommand)]
    Services(ServicesTask),
    /// Check what the compiler cannot: layers, sizes, forgotten files, generated code, documents
    Tidy,
}

#[derive(Debug, Subcommand)]
enum ServicesTask {
    /// Start servers and leave them running
    Up {
        /// kafka, kafka3, opensearch, opensearch3, elasticsearch, redis, consul, postgres
        #[arg(required = true)]
        names: Vec<Service>,
    },
    /// Download and build what `up` would; all without names
    Fetch {
        /// As for `up`
        names: Vec<Service>,
    },
    /// Stop servers that were started so; all without names
    Down {
        /// As for `up`
        names: Vec<Service>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let root = root()?;
    match Arguments::parse().task {
        Task::Codegen { check } => {
            codegen::run(if check { codegen::Mode::Check } else { codegen::Mode::Write })?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Services(task) => run_services(task),
        Task::Tidy => run_tidy(&root),
    }
}

fn run_services(task: ServicesTask) -> anyhow::Result<ExitCode> {
    let home = Home::of_the_tree();
    match task {
        ServicesTask::Up { names } => {
            for service in names {
                let address = weir_services::up(&home, service)?;
                writeln!(io::stdout(), "{}={address}", service.name())?;
            }
        }
        ServicesTask::Fetch { names } => {
            all_or(names).into_iter().try_for_each(|service| weir_services::fetch(&home, service))?;
        }
        ServicesTask::Down { names } => {
            all_or(names).into_iter().try_for_each(|service| weir_services::down(&home, service))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn all_or(names: Vec<Service>) -> Vec<Service> {
    if names.is_empty() { Service::ALL.to_vec() } else { names }
}

fn run_tidy(root: &Path) -> anyhow::Result<ExitCode> {
    let findings = tidy::check(root)?;
    let mut out = io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    codegen::run(codegen::Mode::Check)?;
    if findings.is_empty() {
        writeln!(out, "tidy: clean")?;
        Ok(ExitCode::SUCCESS)
    } else {
        writeln!(out, "tidy: {} findings; exceptions with a reason go to xtask/tidy.toml", findings.len())?;
        Ok(ExitCode::FAILURE)
    }
}

/// The root of the tree that this program was built from.
fn root() -> anyhow::Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(manifest.parent().context("`xtask` lies in a folder of the workspace")?.to_path_buf())
}
