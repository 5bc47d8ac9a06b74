//! As which source a spool is sent, and as which group it is read.

use weir_journal::sqlite::SqliteJournal;
use weir_journal::{Commit, CommitError, Journal as _};
use weir_model::{Offset, StreamPartition};
use xxhash_rust::xxh3::xxh3_128;

use super::error::SpoolError;

const GROUP: &str = "uplink";

/// A number in the name of the only group: `uplink-0`. The next life begins where the server has what never was here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Life(u64);

impl Life {
    /// The last one, with how far it is. Its group is there from now on, and no other.
    pub(super) async fn find(
        journal: &SqliteJournal,
        partition: &StreamPartition,
        start: Offset,
    ) -> Result<(Self, Offset), SpoolError> {
        let (mut last, mut lives) = (None, Vec::new());
        for group in journal.groups().await? {
            let Some(life) = Self::of_group(&group.name) else { continue };
            let position = group.positions.iter().find(|position| position.partition == *partition);
            lives.push(life);
            last = last.max(position.map(|position| (life, position.committed)));
        }
        let (life, committed) = last.unwrap_or((Self(0), start));
        life.commit(journal, partition, committed).await?;
        for former in lives.into_iter().filter(|former| *former != life) {
            journal.delete_group(&former.group()).await?;
        }
        Ok((life, committed))
    }

    /// Begins the life after this one, from the same place.
    pub(super) async fn next(
        self,
        journal: &SqliteJournal,
        partition: &StreamPartition,
        committed: Offset,
    ) -> Result<Self, CommitError> {
        let next = Self(self.0 + 1);
        next.commit(journal, partition, committed).await?;
        journal.delete_group(&self.group()).await?;
        Ok(next)
    }

    pub(super) async fn commit(
        self,
        journal: &SqliteJournal,
        partition: &StreamPartition,
        to: Offset,
    ) -> Result<(), CommitError> {
        let commit = Commit { partition: partition.clone(), offset: to };
        journal.commit(&self.group(), &[commit]).await
    }

    pub(super) fn source(self, partition: &StreamPartition) -> [u8; 16] {
        let (name, incarnation) =
            (partition.stream.as_str().as_bytes(), partition.incarnation.0.to_le_bytes());
        xxh3_128(&[name, &[0], &incarnation, &self.0.to_le_bytes()].concat()).to_le_bytes()
    }

    fn group(self) -> String {
        format!("{GROUP}-{}", self.0)
    }

    fn of_group(name: &str) -> Option<Self> {
        let life = Self(name.strip_prefix(GROUP)?.strip_prefix('-')?.parse().ok()?);
        (life.group() == name).then_some(life)
    }
}

#[cfg(test)]
mod tests {
    use weir_model::{Incarnation, PartitionIndex, StreamName};

    use super::*;

    #[test]
    fn a_life_is_found_by_its_group() {
        let check = |name: &str, expected: Option<u64>| {
            assert_eq!(Life::of_group(name), expected.map(Life), "{name}");
        };
        check("uplink-0", Some(0));
        check("uplink-12", Some(12));
        for other in ["uplink", "uplink-", "uplink-01", "uplink--1", "uplink-1 ", "index"] {
            check(other, None);
        }
    }

    /// What is written here is known to servers: it must never change.
    #[test]
    fn every_life_is_a_source_of_its_own() {
        let partition = |name: &str, incarnation: u64| StreamPartition {
            stream: StreamName::new(name).expect("legal"),
            incarnation: Incarnation(incarnation),
            partition: PartitionIndex(0),
        };
        let source = Life(0).source(&partition("syslog", 1));
        assert_eq!(u128::from_le_bytes(source), 154_484_277_970_359_370_145_991_853_719_294_116_676);
        for (life, name, incarnation) in [(1, "syslog", 1), (0, "syslog", 2), (0, "syslog2", 1)] {
            assert_ne!(Life(life).source(&partition(name, incarnation)), source);
        }
    }
}
