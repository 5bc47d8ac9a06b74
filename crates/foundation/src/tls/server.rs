//! What a server shows to clients: certificate and key from files, which may be replaced while it serves.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::watch;

use super::{IdentityFiles, TlsError, certificates};
use crate::clock::Clock;
use crate::failure::chain;
use crate::supervise::{DrainPhase, Policy, Spawner};

/// The protocols that are served by TLS, the preferred one first.
pub const VERSIONS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How often it is looked whether the files have changed.
const LOOK: Duration = Duration::from_secs(30);

impl IdentityFiles {
    /// Reads the files. Clients need no certificate.
    pub fn server(&self) -> Result<ServerConfig, TlsError> {
        let Self { cert_file, key_file } = self;
        let key = PrivateKeyDer::from_pem_file(key_file)
            .map_err(|source| TlsError::File { path: key_file.clone(), source })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = builder.with_no_client_auth().with_single_cert(certificates(cert_file)?, key)?;
        config.alpn_protocols = VERSIONS.map(<[u8]>::to_vec).to_vec();
        Ok(config)
    }

    /// The same, now and whenever the files have changed; what can not be read then is told, and the former stays. By a
    /// task named `tls.files`.
    pub fn followed(
        self,
        clock: Arc<dyn Clock>,
        spawner: &Spawner,
    ) -> Result<watch::Receiver<Arc<ServerConfig>>, TlsError> {
        let mut seen = self.times();
        let (tell, config) = watch::channel(Arc::new(self.server()?));
        spawner.spawn("tls.files", Policy::essential(DrainPhase::StopIntake), |drain| async move {
            loop {
                tokio::select! {
                    () = clock.sleep(LOOK) => {}
                    () = drain.draining() => return Ok::<(), Infallible>(()),
                }
                let now = self.times();
                if now == seen {
                    continue;
                }
                match self.server() {
                    Ok(config) => {
                        tracing::info!(path = %self.cert_file.display(), "another certificate is shown from now on");
                        tell.send_replace(Arc::new(config));
                        seen = now;
                    }
                    // The two files are not replaced at once: it is looked at again.
                    Err(error) => {
                        tracing::error!(error = %chain(&error), "the new certificate can not be used, the former one stays");
                    }
                }
            }
        });
        Ok(config)
    }

    fn times(&self) -> [Option<SystemTime>; 2] {
        let time = |path: &PathBuf| std::fs::metadata(path).and_then(|found| found.modified()).ok();
        [time(&self.cert_file), time(&self.key_file)]
    }
}
