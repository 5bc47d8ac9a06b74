//! What goes over the wire of `/api/v1`, as types: the server writes them, the command line reads them,
//! and the OpenAPI document is made from their schemas.

mod agents;
mod apps;
mod audit;
mod configurations;
mod dead;
mod error;
mod groups;
mod indices;
mod journal;
mod keys;
mod operators;
mod pki;
mod search;
mod secret;
mod streams;
mod tail;
mod time;

pub use agents::{
    Agent, AgentCertificate, AgentConfiguration, AgentEntry, AgentInput, AgentLog, AgentLogParameters,
    AgentState, Agents, FailedConfiguration, RevokeAgent, WantedConfiguration,
};
pub use apps::{App, AppChange, AppSecret, Apps, EndAppSecrets, NewApp, NewAppSecret};
pub use audit::{Audit, AuditParameters, AuditStream, AuditVerdict};
pub use configurations::{
    Configuration, ConfigurationAnswer, ConfigurationEntry, ConfigurationFailure, ConfigurationParameters,
    ConfigurationProblem, ConfigurationProgress, ConfigurationRefusal, ConfigurationStatus, Configurations,
    NewConfiguration, RollBack, Withdrawal, WithdrawalAnswer,
};
pub use dead::{
    DeadLetter, DeadLetterEntry, DeadLetters, DeadListParameters, DeadSelection, PurgeAnswer, Replay,
    ReplayAnswer, ReplayRefusal,
};
pub use error::{ErrorBody, ErrorDetail};
pub use groups::{Group, GroupPosition, Groups};
pub use indices::{Index, Indices, IndicesParameters};
pub use journal::{
    JournalCheck, JournalDump, JournalDumpParameters, JournalLoss, JournalPartitionCheck, JournalRecord,
};
pub use keys::{AnyNumber, CreatedKey, Key, KeyState, Keys, NewKey, RevokeKey, RevokedKey, Uses};
pub use operators::{CreatedOperator, NewOperator, Operator, Operators};
pub use pki::{
    CertifiedServer, CertifyServer, FinishRotation, MissingAgent, MissingReason, Pki, RootCertificate,
    Rotation, RotationStage, SigningKey,
};
pub use search::{
    Bucket, Format, Histogram, Hit, SearchAnswer, SearchParameters, SearchStats, TopValue, Unreadable,
};
pub use secret::SecretText;
pub use streams::{Partition, Stream, Streams};
pub use tail::{TailGap, TailParameters};
pub use time::{IllegalTime, Time};
