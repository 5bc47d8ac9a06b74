//! `weir pki certificate`: what a proxy shows to agents.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use weir_auth::pki::PrivateKey;
use weir_foundation::exit::ExitCode;
use weir_foundation::file;
use weir_foundation::settings::DurationText;
use weir_server::api::{CertifiedServer, CertifyServer};

use super::super::{block_on, zone};
use crate::client::{Client, ClientArgs};
use crate::console;
use crate::output::local_text;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// DNS names and addresses of the proxy; agents do not look at them, other clients may
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// The folder to write to, made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How long it is good, at most as long as the authority that issues it
    #[arg(long, value_name = "DURATION", default_value = "30d")]
    ttl: DurationText,
    #[command(flatten)]
    server: ClientArgs,
}

/// The certificate with what vouches for it up to the root.
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
/// By which certificates of agents are checked.
const ROOTS: &str = "roots.pem";

pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let Arguments { names, out, ttl, server } = arguments;
    let client = Client::of(&server)?;
    let key = PrivateKey::generate();
    let wanted = CertifyServer { csr: key.request_pem(), names, ttl: Some(ttl) };
    let issued: CertifiedServer =
        block_on(async { Ok(client.post(&["pki", "certificates"], &wanted).await?) })?;
    keep(&out, &key, &issued).with_context(|| format!("write to `{}`", out.display()))?;
    let until = local_text(issued.expires.0, &zone());
    console::note(&format!("a certificate until {until}, its key, and the roots of agents:"));
    for name in [CERTIFICATE, KEY, ROOTS] {
        writeln!(console::stdout(), "{}", out.join(name).display())?;
    }
    Ok(ExitCode::Good)
}

fn keep(out: &Path, key: &PrivateKey, issued: &CertifiedServer) -> std::io::Result<()> {
    file::make_directory(out)?;
    file::replace(&out.join(ROOTS), issued.roots.as_bytes())?;
    file::replace(&out.join(KEY), key.pem().as_bytes())?;
    file::replace(&out.join(CERTIFICATE), issued.certificate.as_bytes())
}
