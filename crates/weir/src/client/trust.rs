use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use url::Url;
use weir_auth::pki::Pin;
use weir_auth::tls::client_pinned;
use weir_foundation::clock::SystemClock;
use weir_foundation::connect::{self, Connector, Limits, Versions};
use weir_foundation::settings::Environment;
use weir_foundation::settings::env::{CA_FILE, CA_PIN};
use weir_foundation::tls::{DistrustKind, TlsSettings};

use crate::console::{Advised, Misused};

#[derive(Debug, Clone, Default, Args)]
pub(super) struct TrustArgs {
    /// Certificates (PEM) of those who may vouch for a weir that is asked by https [default: $WEIR_CA_FILE,
    /// else those of the system]
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// Pin of the root of weir's own certificates, `sha256:…`: that is looked for, whatever the name of the host
    /// [default: $WEIR_CA_PIN]
    #[arg(long, value_name = "PIN", value_parser = pin, conflicts_with = "ca_file")]
    pub(super) ca_pin: Option<Pin>,
}

/// Whom to take for weir.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// Whoever has the name of the host, says somebody whom the system trusts.
    System,
    /// Whoever has the name of the host, says somebody in the file.
    File(PathBuf),
    /// A server of the instance of weir whose root has the pin.
    Pin(Pin),
}

const LIMITS: Limits = Limits { connect: Duration::from_secs(5), silence: Some(Duration::from_secs(30)) };

impl Trust {
    /// Flags overrule the environment.
    pub(super) fn of(args: &TrustArgs, environment: &Environment) -> Result<Self> {
        match (&args.ca_file, args.ca_pin) {
            (Some(file), _) => return Ok(Self::File(file.clone())),
            (None, Some(pin)) => return Ok(Self::Pin(pin)),
            (None, None) => {}
        }
        let variable = |name| environment.get(name).filter(|value| !value.is_empty());
        match (variable(CA_FILE), variable(CA_PIN)) {
            (Some(_), Some(_)) => Err(Misused(format!("`{CA_FILE}` and `{CA_PIN}` are both set")).into()),
            (Some(file), None) => Ok(Self::File(file.into())),
            (None, Some(text)) => match pin(text) {
                Ok(pin) => Ok(Self::Pin(pin)),
                Err(error) => Err(Misused(format!("`{CA_PIN}` is `{text}`: {error}")).into()),
            },
            (None, None) => Ok(Self::System),
        }
    }

    /// For connections to `url`.
    pub(super) fn connector(&self, url: &Url, versions: Versions) -> Result<Connector> {
        let clock = Arc::new(SystemClock);
        if url.scheme() != "https" {
            return Ok(connect::plain(LIMITS, clock));
        }
        let ca_file = match self {
            Self::Pin(pin) => {
                let tls = client_pinned(&[*pin], clock.clone())?;
                return Ok(connect::secure(tls, versions, LIMITS, clock));
            }
            Self::File(file) => Some(file.clone()),
            Self::System => None,
        };
        let tls = TlsSettings { ca_file, identity: None }.client().map_err(|error| {
            let what = "it is not known whom to trust".to_owned();
            let hint = "`--ca-file` takes certificates as PEM: they begin with `-----BEGIN CERTIFICATE-----`";
            anyhow::Error::from(error).context(Advised { what, hint: hint.to_owned() })
        })?;
        Ok(connect::secure(tls, versions, LIMITS, clock))
    }

    /// What to do about a server that was not taken for weir.
    pub(super) fn hint(&self, distrust: DistrustKind) -> String {
        match (distrust, self) {
            (DistrustKind::Expired, _) => {
                "renew it where weir runs, unless the clock of this machine is wrong".to_owned()
            }
            (DistrustKind::NotYet, _) => {
                "set the clock of this machine, or that of the one which issued it".to_owned()
            }
            (DistrustKind::NoTls, _) => "if no TLS is meant to be there, write `http://…`".to_owned(),
            (_, Self::Pin(pin)) => format!(
                "it shows no root with {pin}: if that is the pin of this weir's root, somebody else answers in its \
                 place; what has a certificate of another CA is known by `--ca-file FILE`"
            ),
            (DistrustKind::OtherName, _) => {
                "ask it by a name that is in its certificate, or know it by the pin of its root: `--ca-pin sha256:…`"
                    .to_owned()
            }
            (DistrustKind::Stranger | DistrustKind::Unfit, Self::System) => {
                "name the certificate of its CA by `--ca-file FILE`, or the pin of its root by `--ca-pin sha256:…`"
                    .to_owned()
            }
            (DistrustKind::Stranger | DistrustKind::Unfit, Self::File(file)) => format!(
                "nobody in `{}` vouches for it: take the certificate of its CA, or the pin of its root by \
                 `--ca-pin sha256:…`",
                file.display()
            ),
        }
    }
}

fn pin(text: &str) -> Result<Pin, String> {
    text.parse().map_err(|_illegal| "a pin is `sha256:` and 64 hexadecimal digits".to_owned())
}
