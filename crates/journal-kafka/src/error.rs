//! What goes wrong with Kafka, in the words of the seam.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use weir_foundation::failure::{Audience, Disposition, Failure};
use weir_foundation::supervise::BlockingError;
use weir_journal::ReadError;

/// Why the journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum KafkaOpenError {
    /// librdkafka does not take the settings.
    #[error("the settings of the Kafka journal do not work")]
    Settings(#[source] BoxError),
    /// The brokers did not answer as often as the settings say.
    #[error("no broker of `{brokers}` answered, after {attempts} attempts")]
    Unreachable {
        /// Those that were tried.
        brokers: String,
        /// How often.
        attempts: u32,
        /// The last failure.
        source: BoxError,
    },
    /// A thread could not be started.
    #[error("a thread of the Kafka journal could not be started")]
    Thread(#[source] std::io::Error),
    /// The process drains.
    #[error("the process drains before a broker answered")]
    Closing,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Failure for KafkaOpenError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Closing => Disposition::ShuttingDown,
            Self::Settings(_) | Self::Unreachable { .. } | Self::Thread(_) => Disposition::GiveUp,
        }
    }

    fn audience(&self) -> Audience {
        match self {
            Self::Unreachable { .. } => Audience::Dependency,
            Self::Settings(_) | Self::Thread(_) | Self::Closing => Audience::Ours,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "kafka-unreachable",
            Self::Settings(_) | Self::Thread(_) => "kafka-open-failed",
            Self::Closing => "closing",
        }
    }
}

/// A request to the brokers that came to nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("Kafka refused to {what}")]
    Refused { what: &'static str, source: RDKafkaErrorCode },
    #[error("Kafka could not {what}")]
    Failed { what: &'static str, source: KafkaError },
    #[error("Kafka does not say what its id is")]
    NoClusterId,
    #[error(transparent)]
    Cut(#[from] BlockingError),
}

impl RequestError {
    pub(crate) fn code(&self) -> Option<RDKafkaErrorCode> {
        match self {
            Self::Refused { source, .. } => Some(*source),
            Self::Failed { source, .. } => source.rdkafka_error_code(),
            Self::NoClusterId | Self::Cut(_) => None,
        }
    }
}

impl From<RequestError> for ReadError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Cut(BlockingError::ShuttingDown { .. }) => Self::Closing,
            other => Self::Failed(Box::new(other)),
        }
    }
}
