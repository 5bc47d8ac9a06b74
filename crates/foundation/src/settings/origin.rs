use std::fmt;
use std::sync::Arc;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// Lines count from 1.
    File {
        file: Arc<str>,
        line: u64,
    },
    Environment {
        variable: String,
    },
    Flag {
        flag: String,
    },
    /// A default that another setting or variable brings with it.
    Implied {
        by: String,
    },
}

/// `default`, `file weir.yaml:12`, `env WEIR_DATA_DIR`, `flag --data-dir`, `by compat: barito`
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "file {file}:{line}"),
            Self::Environment { variable } => write!(f, "env {variable}"),
            Self::Flag { flag } => write!(f, "flag {flag}"),
            Self::Implied { by } => write!(f, "by {by}"),
        }
    }
}
