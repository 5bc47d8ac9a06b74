//! How listeners of clients are secured.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use weir_foundation::http::{Listener, Plaintext, Proxies, Security, TlsConfig};

use super::Process;
use crate::settings::{ListenTls, is_public};

/// What clients are shown where other machines reach an address; nothing, where something else sees to that.
pub(super) struct Certificates(Option<watch::Receiver<Arc<TlsConfig>>>);

impl Certificates {
    /// `of_instance` are shown where the settings name none.
    pub(super) fn open(
        tls: &ListenTls,
        of_instance: Option<watch::Receiver<Arc<TlsConfig>>>,
        process: &Process,
    ) -> Result<Self> {
        Ok(Self(match tls {
            ListenTls::Off => None,
            ListenTls::Instance => of_instance,
            ListenTls::Files(files) => {
                let followed = files.clone().followed(Arc::clone(&process.clock), &process.spawner);
                Some(followed.context("use the certificate of `listen.tls`")?)
            }
        }))
    }

    /// A listener with TLS, if other machines reach it. From this machine none is needed.
    pub(super) fn secure(&self, socket: TcpListener, address: SocketAddr) -> Listener {
        let security = match &self.0 {
            Some(config) if is_public(address) => {
                let (config, plaintext) = (config.clone(), Plaintext::FromThisMachine);
                Security::Tls { config, plaintext, proxies: Proxies::none() }
            }
            Some(_) | None => Security::Plain,
        };
        Listener { socket, security }
    }
}
