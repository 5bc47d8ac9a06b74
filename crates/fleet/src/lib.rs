//! What the control plane decides: who may join, send, and be told what, over [`weir_state::State`] and
//! [`weir_auth`]. Knows neither HTTP nor gRPC.
//!
//! [`Fleet`] is the handle. Decisions about agents and apps are answered without I/O from a snapshot that follows the
//! state; changes are compared with the state itself, so that several processes may decide at the same time. Time is
//! that of the given clock.
//!
//! Nothing happens by itself: the caller runs [`Fleet::follow`], so that changes of other processes are seen, calls
//! [`Fleet::write_reports`] every second or two, so that others see what agents say here, and [`Fleet::maintain`] about
//! once a minute, which renews the keys of the instance when their time has come.

mod agents;
mod apps;
mod authority;
mod codes;
mod configurations;
mod documents;
mod enrol;
mod failure;
mod fleet;
mod keys;
mod labels;
mod logs;
mod maintenance;
mod names;
mod operators;
mod recover;
mod renew;
mod reports;
mod rotation;
mod section;
mod servers;
mod settings;
mod snapshot;
mod tokens;

pub use agents::{AgentState, AgentView, CertificateView, ForgetError, RevokeAgentError};
pub use apps::{
    AppLimits, AppTerms, AppView, BadSecret, ChangeAppError, CreateAppError, NewSecret, RemoveAppError,
    SecretRefused,
};
pub use authority::{InstanceView, ServerIdentity, ServerIdentityError, SigningKeyView};
pub use codes::CODES;
pub use configurations::{
    Check, ConfigurationHash, ConfigurationView, ConfigureError, IllegalHash, RollBackError, WithdrawError,
};
pub use documents::{RevocationReason, Revoked};
pub use enrol::{EnrolError, EnrolRequest, Membership};
pub use failure::{Damaged, StoreError};
pub use fleet::{Fleet, OpenError, Opened};
pub use keys::{AgentsToo, CreateKeyError, CreatedKey, KeySpec, KeyState, KeyView, RevokeKeyError, Uses};
pub use labels::{IllegalLabels, Labels, Selector};
pub use logs::{LogAnswer, LogRequest};
pub use maintenance::MaintainError;
pub use names::{IllegalOperatorName, IllegalTitle, OperatorName, Title};
pub use operators::{
    CreateOperatorError, CreatedOperator, OperatorRefused, OperatorView, RemoveOperatorError,
};
pub use recover::{RecoverError, RecoverRequest};
pub use renew::{RenewError, RenewRequest};
pub use reports::{
    AgentStatus, Attendance, FailedConfiguration, InputStatus, MOST_INPUTS, Report, ReportView, SILENCE,
};
pub use rotation::{Finish, Missing, MissingReason, RotationError, RotationStage, RotationStatus};
pub use section::{AdvertiseSection, Doors, FleetListen, FleetSection, Told};
pub use servers::{CertifiedServer, CertifyError, ServerRequest};
pub use settings::FleetSettings;
pub use tokens::{Admitted, CertificateRefused, TokenRefused};
