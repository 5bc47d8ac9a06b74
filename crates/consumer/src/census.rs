use weir_journal::{Journal, PartitionBounds, ReadBudget, ReadError};
use weir_model::{Offset, StreamPartition};
use weir_store::{DeadLetterError, DeadLetterStore, IndexStore, InspectError};

/// Why events could not be counted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CensusError {
    #[error("the journal could not be read")]
    Journal(#[source] ReadError),
    #[error("the rows of the index store could not be counted")]
    Store(#[source] InspectError),
    #[error("the dead letters could not be counted")]
    DeadLetters(#[source] DeadLetterError),
}

const ONE_RECORD: ReadBudget = ReadBudget { bytes: 1, records: 1 };

/// How many events the partition took before the record at `offset`; absent if nothing knows any more.
pub(crate) async fn events_before(
    journal: &dyn Journal,
    partition: &StreamPartition,
    offset: Offset,
) -> Result<Option<u64>, ReadError> {
    let streams = journal.streams().await?;
    let bounds = streams.iter().flat_map(|stream| &stream.partitions).find(|b| b.partition == *partition);
    match bounds {
        Some(bounds) => events_within(journal, bounds, offset).await,
        None => Ok(None),
    }
}

/// Whether the journal counts the events of the partition.
pub(crate) async fn events_counted(
    journal: &dyn Journal,
    partition: &StreamPartition,
) -> Result<bool, ReadError> {
    let streams = journal.streams().await?;
    let bounds = streams.iter().flat_map(|stream| &stream.partitions).find(|b| b.partition == *partition);
    Ok(bounds.is_none_or(|bounds| bounds.end_event.is_some()))
}

/// The same, from what the stores have. Right only while the store has taken exactly what is below `offset`.
pub(crate) async fn events_accounted(
    store: &dyn IndexStore,
    dead_letters: &dyn DeadLetterStore,
    partition: &StreamPartition,
    offset: Offset,
) -> Result<u64, CensusError> {
    let inventory = store.require_inventory().map_err(CensusError::Store)?;
    let audits = inventory.audit(&partition.stream).await.map_err(CensusError::Store)?;
    let rows = audits.iter().find(|audit| audit.partition == *partition);
    let delivered = rows.map_or(0, |audit| audit.stored + audit.dropped);
    let counts = dead_letters.counts(&partition.stream).await.map_err(CensusError::DeadLetters)?;
    let dead = counts.iter().find(|(of, _)| of == partition).map_or(0, |(_, count)| *count);
    let ahead =
        dead_letters.kept_at(partition, offset..Offset::MAX).await.map_err(CensusError::DeadLetters)?;
    Ok(delivered + dead.saturating_sub(ahead))
}

/// As [`events_before`], for a partition whose bounds are known.
pub(crate) async fn events_within(
    journal: &dyn Journal,
    bounds: &PartitionBounds,
    offset: Offset,
) -> Result<Option<u64>, ReadError> {
    if offset == Offset::ZERO {
        return Ok(Some(0));
    }
    if offset == bounds.start {
        return Ok(bounds.start_event);
    }
    if offset == bounds.end {
        return Ok(bounds.end_event);
    }
    if offset < bounds.start || offset > bounds.end {
        return Ok(None);
    }
    let read = journal.read(&bounds.partition, offset, ONE_RECORD).await?;
    let (readable, events) = match read.records.first() {
        Some(stored) => (stored.offset, stored.first_event),
        None if read.next == bounds.end => (bounds.end, bounds.end_event),
        None => return Ok(None),
    };
    let lost: Option<u64> =
        read.losses.iter().filter(|loss| loss.to <= readable).map(|loss| loss.events).sum();
    let covered = readable == offset || read.losses.iter().any(|loss| loss.from == offset);
    Ok(lost.filter(|_| covered).zip(events).map(|(lost, events)| events.saturating_sub(lost)))
}
