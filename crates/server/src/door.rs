//! What the server needs of the rest of weir that is no store and no journal.

use std::fmt;

use async_trait::async_trait;
use weir_store::DeadLetter;

use crate::api::Audit;

/// The door that every event comes in through; dead letters are given to it again.
#[async_trait]
pub trait Door: Send + Sync + fmt::Debug {
    /// Gives a dead letter's original bytes to the door, for the stream and the index that it was for.
    /// The event is durable when this returns. Giving one letter twice, also after a crash in between,
    /// stores it once, as long as the door's window of known batches remembers the first time.
    async fn give_again(&self, letter: &DeadLetter) -> Result<(), Refused>;
}

/// Why the door did not take a letter, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    pub reason: String,
    pub remedy: Remedy,
}

/// Whether giving the same letter again is of any use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The letter can never be taken.
    None,
    /// The door could not take it now.
    TryLater,
}

/// Who keeps the books of what was accepted and what became of it.
#[async_trait]
pub trait Auditor: Send + Sync + fmt::Debug {
    /// Compares the books.
    async fn audit(&self, depth: AuditDepth) -> Result<Audit, AuditFailed>;

    /// Names of files of the journal that could not be read at all, and were put aside; none where the files are those of
    /// others.
    fn quarantined(&self) -> Result<Vec<String>, AuditFailed> {
        Ok(Vec::new())
    }
}

/// How thorough an audit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditDepth {
    /// Counts only.
    Counts,
    /// The position of every event.
    Positions,
}

/// Why there is no audit.
#[derive(Debug, thiserror::Error)]
#[error("the audit could not be made")]
pub struct AuditFailed(#[source] pub Box<dyn std::error::Error + Send + Sync>);
