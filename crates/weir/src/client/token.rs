use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use http::HeaderValue;
use url::Url;
use weir_foundation::settings::env::{TOKEN, TOKEN_FILE};

use super::access::{Surroundings, is_loopback};
use crate::console::{Advised, Misused};

#[derive(Debug, Clone, Default, Args)]
pub(super) struct TokenArgs {
    /// File with the operator's token, or to send the secret of the app; it is given by no flag itself [default: $WEIR_TOKEN, else
    /// $WEIR_TOKEN_FILE, else for a weir on this machine weir-data/operator.token if it is there]
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
}

/// What an operator shows to weir. Never printed.
#[derive(Debug, Clone)]
pub(super) struct Token {
    header: HeaderValue,
    origin: Origin,
}

/// Where a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Variable,
    File(PathBuf),
    /// Of the weir that was started in this directory. Meant for that one alone.
    Beside(PathBuf),
}

/// Where `weir up` leaves the token of its operator, unless it was given another data directory.
const FILE_OF_UP: &str = "weir-data/operator.token";

/// More than any token has.
const TOO_LONG: usize = 4 << 10;

impl Token {
    /// The one that is named: by flag, else by the environment; else that of a weir on this machine.
    pub(super) fn of(args: &TokenArgs, around: &Surroundings, server: &Url) -> Result<Option<Self>> {
        let variable = |name| around.environment.get(name).filter(|value| !value.is_empty());
        let file = match (&args.token_file, variable(TOKEN), variable(TOKEN_FILE)) {
            (Some(file), _, _) => file.clone(),
            (None, Some(_), Some(_)) => {
                return Err(Misused(format!("`{TOKEN}` and `{TOKEN_FILE}` are both set")).into());
            }
            (None, Some(text), None) => return Self::read(text, Origin::Variable).map(Some),
            (None, None, Some(file)) => PathBuf::from(file),
            (None, None, None) if is_loopback(server) => return Self::beside(&around.directory),
            (None, None, None) => return Ok(None),
        };
        let text = text_of(&file).map_err(|error| {
            let what = format!("could not read the token in `{}`", file.display());
            let hint = format!("name a file that you may read and that holds the token, or set `{TOKEN}`");
            anyhow::Error::from(error).context(Advised { what, hint })
        })?;
        Self::read(&text, Origin::File(file)).map(Some)
    }

    fn beside(directory: &Path) -> Result<Option<Self>> {
        let file = directory.join(FILE_OF_UP);
        match text_of(&file) {
            Ok(text) => Self::read(&text, Origin::Beside(file)).map(Some),
            // It is absent, or somebody else's: weir says whether it wants one.
            Err(_) => Ok(None),
        }
    }

    fn read(text: &str, origin: Origin) -> Result<Self> {
        let text = text.trim();
        let is_token =
            (1..TOO_LONG).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        let header = HeaderValue::try_from(format!("Bearer {text}")).ok().filter(|_| is_token);
        let Some(mut header) = header else {
            let what = format!("there is no token in {origin}");
            let hint = "a token is one word, such as `weiro1_…`".to_owned();
            return Err(Advised { what, hint }.into());
        };
        header.set_sensitive(true);
        Ok(Self { header, origin })
    }

    /// What is sent to a URL as `Authorization`. Refuses to show to others on the way what was meant for weir.
    pub(super) fn header_for(&self, url: &Url) -> Result<Option<&HeaderValue>> {
        let local = is_loopback(url);
        match &self.origin {
            Origin::Beside(_) if !local => Ok(None),
            Origin::Variable | Origin::File(_) if !local && url.scheme() != "https" => {
                let what = format!("the token of {} is not sent to {url}", self.origin);
                let hint = format!(
                    "write `https://{host}`, or ask through a tunnel such as `ssh -L 8080:127.0.0.1:8080 {name}`",
                    host = url.authority(),
                    name = url.host_str().unwrap_or_default(),
                );
                let misused = Misused("without TLS everybody on the way could read it".to_owned());
                Err(anyhow::Error::from(misused).context(Advised { what, hint }))
            }
            _ => Ok(Some(&self.header)),
        }
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }
}

fn text_of(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(TOO_LONG as u64).read_to_string(&mut text)?;
    Ok(text)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => write!(f, "`{TOKEN}`"),
            Self::File(path) | Self::Beside(path) => write!(f, "`{}`", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;
