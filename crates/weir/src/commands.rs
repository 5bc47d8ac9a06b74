//! The commands, one file each.

pub(crate) mod agent;
pub(crate) mod app;
pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod dead;
pub(crate) mod demo;
pub(crate) mod fleet;
pub(crate) mod groups;
pub(crate) mod indices;
pub(crate) mod journal;
mod life;
pub(crate) mod man;
pub(crate) mod operator;
pub(crate) mod pki;
pub(crate) mod query;
pub(crate) mod role;
pub(crate) mod send;
pub(crate) mod server;
mod state;
pub(crate) mod stores;
pub(crate) mod streams;
pub(crate) mod tail;
pub(crate) mod up;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum as _};
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::exit::ExitCode;
use weir_foundation::settings::{Environment, FlagValue, Problems};
use weir_model::Timestamp;
use weir_store::query::parse_time;

use crate::console::{self, Misused};
use crate::output::{Format, Zone};
use crate::settings::{Given, Role};

/// The settings that have flags.
#[derive(Debug, Default, Args)]
pub(crate) struct SettingsArgs {
    /// Where weir keeps its files [default: weir-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The YAML file with the settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address for HTTP: sending by REST, and the API [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// Address for gRPC [default: 127.0.0.1:8082]
    #[arg(long, value_name = "ADDRESS")]
    grpc: Option<String>,
    /// Address for health, status and metrics [default: 127.0.0.1:8008]
    #[arg(long, value_name = "ADDRESS")]
    ops: Option<String>,
    /// Allow addresses that other machines can reach; `listen.allow_public` in docs/reference/settings.md says what they
    /// may do
    #[arg(long)]
    allow_public: bool,
}

impl SettingsArgs {
    fn given(&self, role: Role, environment: &Environment) -> Given {
        let data_dir = self.data_dir.as_ref().map(|path| path.display().to_string());
        let flags = [
            ("data_dir", "--data-dir", data_dir),
            ("listen.http", "--http", self.http.clone()),
            ("producer.grpc_listen", "--grpc", self.grpc.clone()),
            ("listen.ops", "--ops", self.ops.clone()),
            ("listen.allow_public", "--allow-public", self.allow_public.then(|| "true".to_owned())),
        ];
        let flag =
            |(path, flag, value): (_, _, Option<String>)| Some(FlagValue { path, flag, value: value? });
        Given {
            role,
            file: self.config.clone(),
            flags: flags.into_iter().filter_map(flag).collect(),
            environment: environment.clone(),
        }
    }
}

/// Says what is wrong with the settings, and how to find out why.
fn refuse(problems: &Problems, role: Role) -> ExitCode {
    console::note(problems.to_string().trim_end());
    let of_role = match role {
        Role::Up => None,
        role => role.to_possible_value().map(|name| format!(" --role {}", name.get_name())),
    };
    console::note(&format!(
        "`weir check{} --explain` with the same flags shows every setting and where it came from",
        of_role.unwrap_or_default()
    ));
    ExitCode::Configuration
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct OutputArgs {
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Runs a command that talks to a running weir: one thread is enough for it.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime of the command")?;
    let outcome = runtime.block_on(work);
    // Reading standard input may be stuck in a thread that nobody can end.
    runtime.shutdown_background();
    outcome
}

/// A time as people write it.
fn moment(text: &str, zone: &Zone) -> Result<Timestamp> {
    let now = Timestamp::from(SystemClock.now());
    parse_time(text, now, zone.time_zone()).map_err(|error| Misused(error.to_string()).into())
}

fn zone() -> Zone {
    Zone::local()
}
