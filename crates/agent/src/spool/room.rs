//! What the sender does about limits.

use std::time::Duration;

use weir_model::{Offset, Timestamp};

use super::line::Point;
use super::report::Reason;
use super::sender::Sender;
use super::{Shared, WhenFull, measure};

/// How long it may take until it is written down how far the server is; what it has is not stored twice anyway.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

impl Sender {
    pub(super) async fn commit_if_due(&mut self) {
        if self.line.passed() > self.committed && self.commit_at.is_none() {
            self.commit_at = Some(self.now() + COMMIT_EVERY);
        }
        if self.commit_at.is_some_and(|at| at <= self.now()) {
            self.commit().await;
        }
    }

    /// Writes down what needs not be kept any more, and has it removed where it is a file.
    pub(super) async fn commit(&mut self) {
        self.commit_at = None;
        let to = self.line.passed().max(self.passed);
        if to <= self.committed {
            return;
        }
        let Shared { journal, partition, .. } = &*self.shared;
        if let Err(error) = self.life.commit(journal, partition, Offset(to)).await {
            self.disk_fails(&error);
            self.commit_at = Some(self.disk_at);
            return;
        }
        self.committed = to;
        let stretches = journal.stretches(partition);
        if stretches.len() > 1 && stretches.first().is_some_and(|oldest| oldest.to.0 <= to) {
            journal.retain().await;
        }
    }

    /// For whoever waits at the gate.
    pub(super) async fn make_room(&mut self) {
        let mut must_drop = self.shared.gate.takes_drop();
        if !must_drop && !self.shared.gate.lacks_room() {
            return;
        }
        self.commit().await;
        loop {
            if !self.measure().await {
                return;
            }
            let lacks_room = self.shared.gate.lacks_room();
            let may_drop = self.shared.settings.when_full == WhenFull::DropOldest;
            if !may_drop || !(must_drop || lacks_room) || !self.drop_oldest().await {
                return;
            }
            must_drop = false;
        }
    }

    /// Whether that could be done.
    async fn measure(&mut self) -> bool {
        let Shared { gate, spawner, directory, counts, journal, partition, .. } = &*self.shared;
        let measuring = gate.begins_measuring();
        let is_empty = journal.stretches(partition).last().is_none_or(|last| last.to.0 <= self.committed);
        let directory = directory.clone();
        let used = spawner.blocking("agent.spool.measure", move || measure::used(&directory)).await;
        let error: Box<dyn std::error::Error + Send + Sync> = match used {
            Ok(Ok(used)) => {
                gate.measured(&measuring, used, is_empty);
                counts.disk(used);
                return true;
            }
            Ok(Err(error)) => error.into(),
            Err(error) => error.into(),
        };
        self.disk_fails(&*error);
        false
    }

    /// Passes over the oldest file, but for what of it is in memory. Whether there was one.
    async fn drop_oldest(&mut self) -> bool {
        let stretches = self.shared.journal.stretches(&self.shared.partition);
        let Some(oldest) = stretches.into_iter().find(|stretch| stretch.to.0 > self.committed) else {
            return false;
        };
        let to = Point { offset: oldest.to.0, event: oldest.to_event };
        let dropped = self.line.drop_before(to);
        self.dropped(dropped, Reason::Full);
        self.passed = self.passed.max(to.offset);
        self.commit().await;
        self.committed >= to.offset
    }

    /// Passes over what is too old.
    pub(super) async fn expire(&mut self) {
        let Some(max_age) = self.shared.settings.max_age else { return };
        let Some(received) = self.received_at_cursor().await else {
            self.expires_at = None;
            return;
        };
        if self.loader.is_expired(received) {
            match self.loader.first_young(self.line.cursor()).await {
                Ok(young) => {
                    let dropped = self.line.drop_before(young);
                    self.dropped(dropped, Reason::Expired);
                    self.commit_at = Some(self.now());
                }
                Err(error) => return self.disk_fails(&error),
            }
        }
        let received = self.received_at_cursor().await;
        let now = Timestamp::from(self.shared.clock.now());
        self.expires_at = received.map(|received| self.now() + received.saturating_add(max_age).since(now));
    }

    /// Of the first record that is not in memory.
    async fn received_at_cursor(&mut self) -> Option<Timestamp> {
        let cursor = self.line.cursor();
        if let Some((at, received)) = self.received
            && at == cursor.offset
        {
            return Some(received);
        }
        let stretches = self.shared.journal.stretches(&self.shared.partition);
        stretches.last().filter(|last| last.to.0 > cursor.offset)?;
        match self.loader.oldest(cursor).await {
            Ok(oldest) => {
                self.received = oldest.map(|oldest| (cursor.offset, oldest.received));
                oldest.map(|oldest| oldest.received)
            }
            Err(error) => {
                self.disk_fails(&error);
                None
            }
        }
    }

    /// For whoever asks how far behind the server is.
    pub(super) async fn look_at_oldest(&mut self) {
        let received = match self.line.received() {
            Some(received) => Some(received),
            None => self.received_at_cursor().await,
        };
        let now = Timestamp::from(self.shared.clock.now());
        self.shared.counts.oldest(received.map(|received| now.since(received)));
    }
}
