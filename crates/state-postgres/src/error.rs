use tokio_postgres::error::{Severity, SqlState};
use weir_foundation::clock::Elapsed;
use weir_foundation::failure::BoxError;
use weir_foundation::network::HostPort;
use weir_foundation::tls::{Distrust, TlsError};
use weir_state::{CommitError, StateError};

use crate::section::Schema;

/// Why a state in Postgres could not be opened. None of them changed anything.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The files of the settings.
    #[error("TLS to Postgres can not be used as `tls` says")]
    Tls(#[from] TlsError),
    /// Nobody is there, or does not answer, or another process has the tables. It may be otherwise later.
    #[error("Postgres can not be reached at `{address}`")]
    Unreachable { address: HostPort, source: BoxError },
    #[error("the Postgres at `{address}` is not trusted; see `tls.ca_file` and the host of `address`")]
    Untrusted { address: HostPort, source: Distrust },
    #[error(
        "the Postgres at `{address}` speaks no TLS; switch it on there (`ssl = on`), or write `encrypt: false`"
    )]
    NoTls { address: HostPort },
    #[error("Postgres does not let `{username}` in; see `username`, `password` and its `pg_hba.conf`")]
    Login { username: String, source: BoxError },
    /// Only `template0` has an encoding of one's choice, whatever is the custom of the server.
    #[error(
        "there is no database `{database}`; make it: create database \"{database}\" encoding 'UTF8' template template0"
    )]
    NoDatabase { database: String },
    #[error(
        "the database `{database}` has the encoding {found}; make another one, and name it in `database`: create \
         database NAME encoding 'UTF8' template template0"
    )]
    Encoding { database: String, found: String },
    #[error("the Postgres at `{address}` is a standby, which takes no writes; name the primary server")]
    Standby { address: HostPort },
    /// As `server_version_num` says it.
    #[error("Postgres has the version {found}, the state needs {oldest} or newer")]
    OldServer { found: i32, oldest: i32 },
    /// Written by a newer weir; it is as it was.
    #[error(
        "the schema `{schema}` has state format {found}, this weir reads up to {known}; use a newer weir"
    )]
    NewerFormat { schema: Schema, found: i32, known: i32 },
    /// Something that weir did not make; it is as it was.
    #[error("the schema `{schema}` is not one of the state: it has `{relation}`; name another one")]
    ForeignSchema { schema: Schema, relation: String },
    /// It holds private keys.
    #[error(
        "whoever may log in gets at the secrets in `{schema}.{relation}`: revoke all on \"{schema}\".\"{relation}\" from \
         public"
    )]
    Exposed { schema: Schema, relation: String },
    #[error(
        "`{username}` lacks rights: let it make the schema `{schema}`, or let somebody else make it, open it once, and \
         grant: usage on the schema; select, insert, update, delete on its tables"
    )]
    NotPermitted { username: String, schema: Schema, source: BoxError },
    #[error("the state in the schema `{schema}` could not be opened")]
    Failed { schema: Schema, source: BoxError },
}

impl OpenError {
    /// Whether it is worth to try again later: nobody is there, or it is not their time.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// Why Postgres did not do as it was asked. It never shows values: not those that were sent, and nothing of what a
/// server says about a refusal beside its message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("Postgres does not answer")]
    Silent(#[from] Elapsed),
    #[error("the connection to Postgres failed")]
    Lost(#[source] BoxError),
    #[error("Postgres refused: {message} (SQLSTATE {})", code.code())]
    Refused {
        code: SqlState,
        message: String,
        /// Whether the connection goes on, so that a transaction is known to have been undone.
        goes_on: bool,
    },
    /// A newer weir has changed the tables since they were opened.
    #[error("the state has format {found} by now, this weir reads up to {known}; use a newer weir")]
    NewerFormat { found: i32, known: i32 },
    #[error("the tables of the state are not as weir leaves them: {0}")]
    Damaged(&'static str),
}

impl Trouble {
    /// Whether a connection that nobody had used for a while had ended meanwhile, so that another one is worth a try.
    pub(crate) fn is_stale(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Refused { goes_on, .. } => !goes_on,
            Self::Silent(_) | Self::NewerFormat { .. } | Self::Damaged(_) => false,
        }
    }

    /// Of a read.
    pub(crate) fn unread(self) -> StateError {
        StateError::Failed(self.into())
    }

    /// Before the commit was asked for: nothing is stored.
    pub(crate) fn unstored(self) -> CommitError {
        match &self {
            Self::Refused { code, .. } if *code == SqlState::DISK_FULL => CommitError::Full(self.into()),
            _ => CommitError::Unavailable(self.into()),
        }
    }

    /// Of the commit itself.
    pub(crate) fn undecided(self) -> CommitError {
        match &self {
            Self::Refused { goes_on: true, .. } => self.unstored(),
            _ => CommitError::Failed(self.into()),
        }
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(refused) = error.as_db_error() else { return Self::Lost(error.into()) };
        let code = refused.code().clone();
        // Class 08 is about connections, 57P about a server that goes away: what it did is then not known.
        let of_connection = code.code().starts_with("08") || code.code().starts_with("57P");
        Self::Refused {
            goes_on: refused.parsed_severity() == Some(Severity::Error) && !of_connection,
            message: refused.message().to_owned(),
            code,
        }
    }
}
