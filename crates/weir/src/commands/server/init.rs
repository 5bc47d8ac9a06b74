//! `weir server init`: an instance, and nothing that runs.

use std::io::Write;

use anyhow::{Context as _, Result};
use clap::Args;
use weir_fleet::{Fleet, FleetSettings, Opened};
use weir_foundation::exit::ExitCode;
use weir_foundation::settings::Secret;
use weir_foundation::umask;

use super::super::state::{StateArgs, is_ours};
use super::super::{block_on, refuse};
use crate::compose;
use crate::compose::offline::with_state;
use crate::console::{self, Advised};
use crate::settings::{Role, StateSettings};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    state: StateArgs,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let settings = match arguments.state.settings() {
        Ok(settings) => settings,
        Err(problems) => return Ok(refuse(&problems, Role::Up)),
    };
    umask::keep_files_private();
    let state = settings.instance_state();
    is_ours(&state)?;
    if matches!(&state, StateSettings::Directory(directory) if directory.starts_with(&settings.data_dir)) {
        compose::directory::prepare(&settings.data_dir)?;
    }
    let (instance, token) = block_on(make(&state, settings.fleet.fleet))?;
    console::note(&format!(
        "instance {instance} is made in {state}; the token of operator `admin`, which is not shown again:"
    ));
    writeln!(console::stdout(), "{}", token.reveal()).with_context(|| Advised {
        what: "the instance is made, and its token could not be printed".to_owned(),
        hint: "`weir operator create NAME` with the same `--data-dir` or `--config` makes another operator"
            .to_owned(),
    })?;
    Ok(ExitCode::Good)
}

/// The id of the instance, and the token of its first operator.
async fn make(state: &StateSettings, settings: FleetSettings) -> Result<(String, Secret)> {
    with_state(state, async |opened, clock| {
        let opened = Fleet::open(opened, clock, settings).await.context("open the instance")?;
        let Opened { fleet, first_operator } = opened;
        let token = first_operator.ok_or_else(|| Advised {
            what: format!("there is an instance in {state} already"),
            hint: "its operators make others with `weir operator create`; if no token is left, that command does it here, \
                   with the same `--data-dir` or `--config`"
                .to_owned(),
        })?;
        Ok((fleet.instance().id.to_string(), token))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_made_once() {
        let directory = tempfile::tempdir().expect("there is space");
        let data_dir = directory.path().join("data");
        let state = StateSettings::of(&data_dir);
        let made = block_on(make(&state, FleetSettings::default()));
        let (instance, token) = made.expect("there is space");
        assert!(token.reveal().starts_with("weiro1_") && instance.len() == 32);
        assert_eq!(data_dir.read_dir().expect("it is made").count(), 1, "nothing but the state");
        let error = block_on(make(&state, FleetSettings::default())).expect_err("it is there");
        assert_eq!(
            error.to_string(),
            format!("there is an instance in `{}/state` already", data_dir.display())
        );
        assert!(error.downcast_ref::<Advised>().is_some());
        // The token is that of the instance that is there.
        let operator = block_on(with_state(&state, async |opened, clock| {
            Ok(Fleet::join(opened, clock, FleetSettings::default()).await?.check_operator(&token)?)
        }));
        assert_eq!(operator.expect("it is good").as_str(), "admin");
    }
}
