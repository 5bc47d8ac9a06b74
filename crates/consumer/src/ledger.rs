//! What the journal lost before it could be delivered, written down among the dead letters.
//!
//! A loss is kept as one dead letter without bytes that stands for all events of the range, so that it is
//! durable before the range is passed over, is counted once however often it is met, survives restarts, and
//! shows up where people look for what did not arrive. Its position is the last offset of the range with an
//! index that no event has; its code is one of [`LOST_EXPIRED`], [`LOST_DAMAGED`] and [`LOST_CUT`].

use bytes::Bytes;
use weir_journal::{Loss, LossReason};
use weir_model::{EventId, Offset, Position, RecordFormat, StreamPartition, Timestamp};
use weir_store::{DeadLetter, DeadLetterError, DeadLetterStore, DeadReason};

/// Retention removed it undelivered.
pub const LOST_EXPIRED: &str = "lost-expired";
/// It is damaged.
pub const LOST_DAMAGED: &str = "lost-damaged";
/// The end of the journal was cut.
pub const LOST_CUT: &str = "lost-cut";

/// Whether the letter stands for a loss and so has no bytes to replay.
#[must_use]
pub fn is_loss(letter: &DeadLetter) -> bool {
    [LOST_EXPIRED, LOST_DAMAGED, LOST_CUT].contains(&letter.reason.code.as_str())
}

/// The code of a letter that stands for a loss of this kind.
#[must_use]
pub const fn code(reason: LossReason) -> &'static str {
    match reason {
        LossReason::Expired => LOST_EXPIRED,
        LossReason::Damaged => LOST_DAMAGED,
        LossReason::Cut => LOST_CUT,
    }
}

/// Writes down that a range with `events` events is lost, less what is dead by itself in it or was written
/// down before. Returns how many events are newly lost.
///
/// The range must start where the store's durable records end, or behind a record delivered since then.
pub async fn record_loss(
    dead_letters: &dyn DeadLetterStore,
    partition: &StreamPartition,
    loss: &Loss,
    events: u64,
    now: Timestamp,
) -> Result<u64, DeadLetterError> {
    let dead = dead_letters.kept_at(partition, loss.from..loss.to).await?;
    let lost = events.saturating_sub(dead);
    let mut remaining = lost;
    let mut index = u32::MAX;
    while remaining > 0 {
        let position =
            Position { partition: partition.clone(), offset: Offset(loss.to.0.saturating_sub(1)), index };
        index -= 1;
        if dead_letters.get(&EventId(position.clone())).await?.is_some() {
            continue;
        }
        let part = u32::try_from(remaining).unwrap_or(u32::MAX);
        dead_letters.put(vec![letter(position, loss, part, now)]).await?;
        remaining -= u64::from(part);
    }
    Ok(lost)
}

fn letter(position: Position, loss: &Loss, events: u32, now: Timestamp) -> DeadLetter {
    let what = match loss.reason {
        LossReason::Expired => "retention removed",
        LossReason::Damaged => "damage took",
        LossReason::Cut => "a cut of the journal's end took",
    };
    DeadLetter {
        position,
        events,
        received: now,
        died: now,
        prefix: None,
        format: RecordFormat::Events,
        reason: DeadReason {
            code: code(loss.reason).to_owned(),
            message: format!("{what} the offsets {} up to {} before they were delivered", loss.from, loss.to),
        },
        original: Bytes::new(),
    }
}
