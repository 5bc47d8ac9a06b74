use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long things are good, and where agents join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetSettings {
    /// Where agents join, `host:port` each; part of every access key.
    pub enrol: Vec<String>,
    /// Of an agent's certificate. It is to be renewed at six tenths of it.
    pub certificate_life: Duration,
    /// Of an access token.
    pub token_life: Duration,
    /// Of a server's certificate.
    pub server_life: Duration,
    pub root_life: Duration,
    /// Of an authority below a root. It is renewed at six tenths of it.
    pub intermediate_life: Duration,
    /// After this time a key that signs tokens is followed by another.
    pub signing_key_age: Duration,
    /// How long a key that is to sign tokens is known before it does.
    pub publication: Duration,
    /// How long an agent may use its former certificate for new tokens after it was given another.
    pub overlap: Duration,
    /// An agent whose certificate ended so long ago is forgotten, as is an access key.
    pub forget_after: Duration,
}

impl Default for FleetSettings {
    fn default() -> Self {
        Self {
            enrol: Vec::new(),
            certificate_life: DAY,
            token_life: 10 * MINUTE,
            server_life: 30 * DAY,
            root_life: 3650 * DAY,
            intermediate_life: 90 * DAY,
            signing_key_age: 30 * DAY,
            publication: HOUR,
            overlap: HOUR,
            forget_after: 30 * DAY,
        }
    }
}
