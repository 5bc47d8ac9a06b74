use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use weir_foundation::exit::ExitCode;

use crate::cli::Cli;
use crate::console;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    // Generated in memory first: the generator panics where writing fails, as on a broken pipe.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "weir", &mut script);
    std::io::Write::write_all(&mut console::stdout(), &script)?;
    Ok(ExitCode::Good)
}
