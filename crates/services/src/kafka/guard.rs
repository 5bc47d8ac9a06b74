//! Listeners of a broker for those who say who they are.

use std::path::Path;

use super::write;
use crate::error::ServiceError;
use crate::home::free_ports;

/// By what a broker is known, and who may talk to it.
#[derive(Debug, Clone)]
pub struct Guard {
    /// The certificate of the authority that clients are signed by, as PEM.
    pub ca: String,
    /// The broker's certificate for `127.0.0.1`, as PEM.
    pub certificate: String,
    /// Its key, as PEM.
    pub key: String,
    /// Who may log in.
    pub user: String,
    /// The password of the user.
    pub password: String,
}

/// Where a guarded broker listens beside the address that is open to all.
#[derive(Debug, Clone)]
pub struct Guarded {
    /// By TLS, and clients must show a certificate.
    pub tls: String,
    /// By TLS, and clients must log in: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub login_tls: String,
    /// The same without TLS.
    pub login: String,
}

const SCRAM: [&str; 2] = ["SCRAM-SHA-256", "SCRAM-SHA-512"];

impl Guarded {
    pub(super) fn free() -> Result<Self, ServiceError> {
        let ports = free_ports(3)?;
        let [tls, login_tls, login] = ports[..] else { unreachable!("three were asked for") };
        let local = |port| format!("127.0.0.1:{port}");
        Ok(Self { tls: local(tls), login_tls: local(login_tls), login: local(login) })
    }
}

impl Guard {
    /// What the tool for data folders is to be told of users.
    pub(super) fn users(&self) -> Vec<String> {
        let (user, password) = (&self.user, &self.password);
        SCRAM.iter().map(|mechanism| format!("{mechanism}=[name={user},password={password}]")).collect()
    }

    /// The settings of a node with these listeners added to them. Puts files into its folder.
    pub(super) fn added_to(
        &self,
        settings: &str,
        guarded: &Guarded,
        folder: &Path,
    ) -> Result<String, ServiceError> {
        write(&folder.join("node.pem"), &format!("{}{}", self.key, self.certificate))?;
        write(&folder.join("ca.pem"), &self.ca)?;
        let listeners =
            format!("TLS://{},LOGIN_TLS://{},LOGIN://{}", guarded.tls, guarded.login_tls, guarded.login);
        let mut lines: Vec<String> = settings.lines().map(str::to_owned).collect();
        for line in &mut lines {
            if line.starts_with("listeners=") || line.starts_with("advertised.listeners=") {
                line.push_str(&format!(",{listeners}"));
            } else if line.starts_with("listener.security.protocol.map=") {
                line.push_str(",TLS:SSL,LOGIN_TLS:SASL_SSL,LOGIN:SASL_PLAINTEXT");
            }
        }
        lines.push(format!(
            "ssl.keystore.type=PEM
ssl.keystore.location={folder}/node.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.tls.ssl.client.auth=required",
            folder = folder.display()
        ));
        let package = "org.apache.kafka.common.security";
        let (user, password) = (&self.user, &self.password);
        for listener in ["login_tls", "login"] {
            let name = format!("listener.name.{listener}");
            lines.push(format!("{name}.sasl.enabled.mechanisms=PLAIN,{}", SCRAM.join(",")));
            lines.push(format!(
                "{name}.plain.sasl.jaas.config={package}.plain.PlainLoginModule required user_{user}=\"{password}\";"
            ));
            for mechanism in SCRAM {
                let mechanism = mechanism.to_lowercase();
                lines.push(format!(
                    "{name}.{mechanism}.sasl.jaas.config={package}.scram.ScramLoginModule required;"
                ));
            }
        }
        Ok(lines.join("\n") + "\n")
    }
}
