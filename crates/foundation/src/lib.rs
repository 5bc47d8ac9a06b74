//! Process life: settings, supervision and drain, health, clock, retry, telemetry, TLS material,
//! connections of clients.
//!
//! Knows neither telemetry data nor the roles of weir. A component takes what it needs from here as
//! handles ([`clock::Clock`], [`supervise::Spawner`], [`health::Progress`]) in its constructor, and never
//! reaches for the environment, the clock or the runtime itself.
//!
//! The life of a process: parse flags → [`settings::load`] → build components → [`listen::bind`] every
//! address → [`ops::start`] → [`supervise::Supervisor::run`] → [`exit::ExitCode`].

pub mod clock;
pub mod connect;
pub mod crowd;
pub mod descriptors;
pub mod exit;
pub mod failure;
pub mod fetch;
pub mod file;
pub mod health;
pub mod http;
pub mod listen;
pub mod lock;
pub mod metrics;
pub mod network;
pub mod notify;
pub mod ops;
pub mod resident;
pub mod retry;
pub mod settings;
pub mod supervise;
pub mod telemetry;
pub mod tls;
pub mod umask;
