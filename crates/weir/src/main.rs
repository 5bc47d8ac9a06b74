//! weir: collects what machines emit, carries it through one durable journal, delivers it, shows it.

mod cli;
mod client;
mod commands;
mod compose;
mod console;
mod demo;
mod host;
mod output;
mod send;
mod settings;
mod sse;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(std::env::args_os()).into()
}
