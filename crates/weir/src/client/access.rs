use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use http::HeaderValue;
use url::Url;
use weir_foundation::network::is_this_machine;
use weir_foundation::settings::Environment;

use super::token::{Token, TokenArgs};
use super::trust::{Trust, TrustArgs};
use crate::console::{Advised, Misused};

/// Which weir to ask.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServerArgs {
    /// Address of weir, by http or https [default: $WEIR_SERVER, else http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", value_parser = server_url)]
    pub(crate) server: Option<Url>,
}

/// Which weir to ask, how it is known, and what is shown to it.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ClientArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    #[command(flatten)]
    pub(super) trust: TrustArgs,
    #[command(flatten)]
    pub(super) token: TokenArgs,
}

/// What [`ClientArgs`] and the process around them say.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub(super) server: Url,
    pub(super) trust: Trust,
    pub(super) token: Option<Token>,
}

/// Where a command is run.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) environment: Environment,
    pub(super) directory: PathBuf,
}

impl Surroundings {
    pub(super) fn of_process() -> Self {
        Self { environment: Environment::of_process(), directory: PathBuf::new() }
    }
}

impl Access {
    pub(super) fn of(args: &ClientArgs, surroundings: &Surroundings) -> Result<Self> {
        let server = match &args.server.server {
            Some(server) => server.clone(),
            None => from_environment(&surroundings.environment)?,
        };
        let trust = Trust::of(&args.trust, &surroundings.environment)?;
        let token = Token::of(&args.token, surroundings, &server)?;
        let access = Self { server, trust, token };
        access.check(&access.server)?;
        Ok(access)
    }

    /// Refuses what would not be as safe as it is meant to be.
    pub(super) fn check(&self, url: &Url) -> Result<()> {
        let told = self.trust != Trust::System;
        if told && url.scheme() != "https" && !is_loopback(url) {
            let what = format!("{url} is not reached by TLS");
            let hint = format!("write `https://{}`", url.authority());
            let misused = Misused("there is nothing that a CA or a pin could be compared with".to_owned());
            return Err(anyhow::Error::from(misused).context(Advised { what, hint }));
        }
        self.shown_to(url).map(drop)
    }

    /// What is sent to a URL as `Authorization`.
    pub(super) fn shown_to(&self, url: &Url) -> Result<Option<&HeaderValue>> {
        self.token.as_ref().map_or(Ok(None), |token| token.header_for(url))
    }
}

/// Names the HTTP address of weir for the commands that ask it.
const VARIABLE: &str = "WEIR_SERVER";

const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

fn from_environment(environment: &Environment) -> Result<Url> {
    let server = environment.get(VARIABLE).filter(|server| !server.is_empty());
    let server = server.unwrap_or(DEFAULT_SERVER);
    server_url(server).map_err(|error| {
        // Before an `@` there may be a password.
        let shown = server.rsplit_once('@').map_or(server, |(_, shown)| shown);
        Misused(format!("`{VARIABLE}` is `{shown}`: {error}")).into()
    })
}

/// An address without a scheme is one for HTTP without TLS.
pub(crate) fn server_url(text: &str) -> Result<Url, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url: Url = whole.parse().map_err(|error| format!("{error}; write it like {DEFAULT_SERVER}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "weir knows no users and passwords; it may ask for a token, see `--token-file`".to_owned()
        );
    }
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("weir is not reached by `{other}`; write it like {DEFAULT_SERVER}")),
    }
}

/// Whether nobody on another machine can listen.
pub(super) fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(is_this_machine)
}

#[cfg(test)]
mod tests;
