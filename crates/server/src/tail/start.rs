//! Where a tail begins.

use weir_journal::{Journal, PartitionBounds, ReadBudget, ReadError};
use weir_model::{Offset, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// With what comes next.
    End,
    /// With the first record that was received at this time or later.
    Received(Timestamp),
}

/// One record, whatever its size.
const ONE: ReadBudget = ReadBudget { bytes: 1, records: 1 };

/// The offset at which a tail of this partition begins.
///
/// Halves the partition by the time of receipt, which rises along it but for steps of the clock: about
/// 25 reads in a partition of a billion events.
pub(super) async fn offset(
    journal: &dyn Journal,
    bounds: &PartitionBounds,
    start: Start,
) -> Result<Offset, ReadError> {
    let Start::Received(wanted) = start else {
        return Ok(bounds.end);
    };
    let (mut low, mut high) = (bounds.start.0, bounds.end.0);
    while low < high {
        let middle = low + (high - low) / 2;
        let read = journal.read(&bounds.partition, Offset(middle), ONE).await?;
        match read.records.first() {
            Some(found) if found.record.received < wanted => low = found.offset.0 + 1,
            // Nothing readable from the middle on, or it is late enough: what is wanted is not behind it.
            _ => high = middle,
        }
    }
    Ok(Offset(low))
}
