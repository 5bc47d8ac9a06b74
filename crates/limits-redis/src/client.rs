//! How Redis is reached and asked.

use std::io;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError, Script,
    ServerErrorKind, TlsCertificates,
};

use crate::script::TAKE;
use crate::section::{Encryption, RedisLimitsSettings};

/// The client could not be made of the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("could not read `{path}`")]
    File { path: String, source: io::Error },
    #[error("could not make a client for Redis")]
    Client(#[source] RedisError),
}

/// Makes connections.
#[derive(Debug)]
pub(crate) struct Connector {
    client: Client,
    config: AsyncConnectionConfig,
}

/// A connection that all batches share: their questions follow each other without waiting.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    inner: MultiplexedConnection,
    script: Script,
}

/// What the script answers: which bucket was short, from 1, or 0; and for how long, or -1.
pub(crate) type Answer = (u8, i64);

impl Connector {
    pub(crate) fn new(settings: &RedisLimitsSettings) -> Result<Self, ConnectError> {
        let scheme = match settings.encryption {
            Encryption::None => "redis",
            Encryption::Tls(_) => "rediss",
        };
        let info = format!("{scheme}://{}/", settings.address).into_connection_info();
        let mut login = RedisConnectionInfo::default().set_db(settings.database);
        if let Some(username) = &settings.username {
            login = login.set_username(username);
        }
        if let Some(password) = &settings.password {
            login = login.set_password(password.reveal());
        }
        let info = info.map_err(ConnectError::Client)?.set_redis_settings(login);
        let client = match &settings.encryption {
            Encryption::None => Client::open(info),
            Encryption::Tls(tls) => {
                let read = |path: &std::path::PathBuf| {
                    let failed = |source| ConnectError::File { path: path.display().to_string(), source };
                    std::fs::read(path).map_err(failed)
                };
                let root_cert = tls.ca_file.as_ref().map(read).transpose()?;
                let client_tls = match &tls.identity {
                    None => None,
                    Some(files) => Some(redis::ClientTlsConfig {
                        client_cert: read(&files.cert_file)?,
                        client_key: read(&files.key_file)?,
                    }),
                };
                Client::build_with_tls(info, TlsCertificates { client_tls, root_cert })
            }
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.timeout))
            .set_response_timeout(Some(settings.timeout));
        Ok(Self { client: client.map_err(ConnectError::Client)?, config })
    }

    /// A connection that has answered.
    pub(crate) async fn connect(&self) -> Result<Connection, RedisError> {
        let mut inner = self.client.get_multiplexed_async_connection_with_config(&self.config).await?;
        redis::cmd("PING").exec_async(&mut inner).await?;
        Ok(Connection { inner, script: Script::new(TAKE) })
    }
}

impl Connection {
    /// One round trip; a second one where Redis does not know the script yet, which is once in its life.
    pub(crate) async fn take(&self, keys: &[String], arguments: &[u64]) -> Result<Answer, RedisError> {
        let ask = |command: &str, script: &str| {
            let mut command = redis::cmd(command);
            command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        let mut connection = self.inner.clone();
        let known = ask("EVALSHA", self.script.get_hash()).query_async(&mut connection).await;
        match known {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                ask("EVAL", TAKE).query_async(&mut connection).await
            }
            outcome => outcome,
        }
    }
}
