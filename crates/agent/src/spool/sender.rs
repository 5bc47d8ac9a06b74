//! The task that sends what is kept.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use weir_foundation::clock;
use weir_foundation::failure::chain;
use weir_foundation::supervise::DrainToken;
use weir_journal::Journal as _;
use weir_model::{Offset, Timestamp};
use weir_uplink::{Effect, Link, Parcel, Place, Uplink, Verdict};

use super::Shared;
use super::life::Life;
use super::line::{Heard, Line, Point};
use super::load::{Found, Loader};
use super::report::Reason;

/// How soon the disk is tried again that could not be read or written.
const AGAIN: Duration = Duration::from_secs(1);

type Verdicts = FuturesUnordered<BoxFuture<'static, (Place, Option<Verdict>)>>;

/// Reads, sends, hears, commits, and makes room; alone.
pub(super) struct Sender {
    pub(super) shared: Arc<Shared>,
    pub(super) loader: Loader,
    uplink: Uplink,
    link: watch::Receiver<Link>,
    pub(super) line: Line,
    pub(super) life: Life,
    /// The server has what never was here.
    is_foreign: bool,
    verdicts: Verdicts,
    changes: watch::Receiver<u64>,
    /// What the group has committed, and what it is to commit because its records were passed over.
    pub(super) committed: u64,
    pub(super) passed: u64,
    /// When the next commit is due.
    pub(super) commit_at: Option<Instant>,
    /// Not sent before.
    not_before: Instant,
    /// Not read or written before.
    pub(super) disk_at: Instant,
    /// When the oldest event will be too old.
    pub(super) expires_at: Option<Instant>,
    /// When the record at a place was received, where it was looked at.
    pub(super) received: Option<(u64, Timestamp)>,
}

/// What the sender waits for.
enum Event {
    Stop,
    Due,
    Link,
    Kept,
    Asked,
    Heard(Place, Option<Verdict>),
}

impl Sender {
    pub(super) fn new(
        shared: Arc<Shared>,
        uplink: Uplink,
        line: Line,
        (life, committed): (Life, Offset),
    ) -> Self {
        let now = shared.clock.monotonic();
        let mut changes = shared.journal.changes();
        changes.mark_changed();
        Self {
            link: uplink.link(),
            verdicts: FuturesUnordered::new(),
            changes,
            committed: committed.0,
            passed: committed.0,
            commit_at: None,
            not_before: now,
            disk_at: now,
            expires_at: None,
            received: None,
            life,
            is_foreign: false,
            loader: Loader::new(&shared),
            shared,
            uplink,
            line,
        }
    }

    /// Sends until `stop` fires, then hears what became of what is under way until the uplink ends.
    pub(super) async fn run(mut self, stop: &DrainToken) {
        while !stop.is_draining() {
            if self.disk_at <= self.now() {
                self.turn().await;
            }
            self.shared.counts.memory(self.line.bytes());
            self.pause(stop).await;
        }
        self.shared.gate.close();
        while let Some((place, verdict)) = self.verdicts.next().await {
            self.hear(place, verdict);
        }
        self.commit().await;
        // The next process does not find them. Whether the server has them is not known any more.
        self.dropped(self.line.only_in_memory(self.committed), Reason::Full);
    }

    async fn turn(&mut self) {
        if !self.begins_anew().await || !self.counts_what_is_ahead().await {
            return;
        }
        self.expire().await;
        self.fill().await;
        self.make_room().await;
        self.commit_if_due().await;
        self.look_at_oldest().await;
    }

    pub(super) fn now(&self) -> Instant {
        self.shared.clock.monotonic()
    }

    /// Reads and sends as far as there is something, the server wants it, and not too much is in memory.
    async fn fill(&mut self) {
        let Link::Connected { max_parcel } = *self.link.borrow_and_update() else { return };
        self.line.fit(max_parcel);
        self.depart();
        while self.load(max_parcel).await {
            self.depart();
        }
    }

    fn depart(&mut self) {
        if self.not_before > self.now() {
            return;
        }
        while let Some(parcel) = self.line.depart() {
            self.send(parcel);
        }
    }

    fn send(&mut self, parcel: Parcel) {
        let Some(place) = parcel.place() else { return };
        let uplink = self.uplink.clone();
        self.verdicts.push(async move { (place, uplink.send(parcel).await.await.ok()) }.boxed());
    }

    /// Whether something was found.
    async fn load(&mut self, max_parcel: usize) -> bool {
        let Some(unread) = self.line.unread() else { return false };
        let found = self.loader.load(unread, max_parcel).await;
        match found {
            Ok(Found::Nothing) => false,
            Ok(Found::Gap { to, reason }) => {
                self.dropped(to.event.saturating_sub(unread.from.event), reason);
                self.line.is_gone(unread.from, to);
                true
            }
            Ok(Found::Cargo { event, cargo }) => {
                let from = Point { event, ..unread.from };
                if unread.to.is_none() {
                    let missing = self.line.corrects(event);
                    self.dropped(missing, Reason::Damaged);
                }
                self.line.is_loaded(from, cargo);
                true
            }
            Err(error) => {
                self.disk_fails(&error);
                false
            }
        }
    }

    /// What waits is sent as another source if the server knows its places from a time that is not remembered here. Whether
    /// that could be done.
    async fn begins_anew(&mut self) -> bool {
        if !self.is_foreign {
            return true;
        }
        let Shared { journal, partition, settings, .. } = &*self.shared;
        let spool = &settings.name;
        tracing::error!(
            spool,
            "the server has more than this spool ever had: its folder is an older copy; what it has is sent anew"
        );
        match self.life.next(journal, partition, Offset(self.committed)).await {
            Ok(life) => {
                self.line.becomes(life.source(partition));
                (self.life, self.is_foreign) = (life, false);
                true
            }
            Err(error) => {
                self.disk_fails(&error);
                false
            }
        }
    }

    /// Events that the server has from an earlier process count as sent. Whether that could be found out.
    async fn counts_what_is_ahead(&mut self) -> bool {
        if !self.line.is_ahead() {
            return true;
        }
        let Shared { journal, partition, .. } = &*self.shared;
        let offset = Offset(self.line.cursor().offset);
        match super::event_at(journal, partition, offset).await {
            Ok(event) => {
                let sent = self.line.corrects(event);
                self.shared.counts.sent(sent);
                true
            }
            Err(error) => {
                self.disk_fails(&error);
                false
            }
        }
    }

    pub(super) fn dropped(&self, events: u64, reason: Reason) {
        if events == 0 {
            return;
        }
        self.shared.counts.dropped(events, reason);
        let spool = &self.shared.settings.name;
        tracing::warn!(spool, events, reason = reason.as_str(), "dropped events that were not sent");
    }

    /// Nothing is read or written for a moment.
    pub(super) fn disk_fails(&mut self, error: &(dyn std::error::Error + 'static)) {
        self.disk_at = self.now() + AGAIN;
        let trouble = chain(error).to_string();
        if self.shared.counts.trouble(&trouble) {
            tracing::error!(spool = self.shared.settings.name, error = trouble, "a spool does not work");
        }
    }

    fn hear(&mut self, place: Place, verdict: Option<Verdict>) {
        // The uplink is at its end, or the spool is another source by now.
        let Some(verdict) = verdict.filter(|_| place.source == self.line.source()) else { return };
        let Heard { effect, sent, is_foreign } = self.line.arrived(place, verdict);
        self.is_foreign |= is_foreign;
        self.shared.counts.sent(sent);
        match effect {
            Effect::Advanced => self.shared.counts.no_trouble(),
            Effect::Turned => {}
            Effect::Held { delay, code, message } => {
                self.not_before = self.not_before.max(self.now() + delay);
                // The link says itself that it is not there, and the parcel before this one why it is not stored.
                if !matches!(code.as_str(), "disconnected" | "out-of-order")
                    && self.shared.counts.trouble(&format!("{code}: {message}"))
                {
                    let spool = &self.shared.settings.name;
                    tracing::warn!(spool, code, message, ?delay, "the server does not take what a spool has");
                }
            }
        }
    }

    /// Waits for something to do, and hears all verdicts that are there.
    async fn pause(&mut self, stop: &DrainToken) {
        let now = self.now();
        let held = (self.not_before > now).then_some(self.not_before);
        let until = match self.disk_at > now {
            true => Some(self.disk_at),
            false => [held, self.commit_at, self.expires_at].into_iter().flatten().min(),
        };
        let clock = Arc::clone(&self.shared.clock);
        let event = tokio::select! {
            () = stop.draining() => Event::Stop,
            () = clock::until(&*clock, until) => Event::Due,
            Ok(()) = self.link.changed() => Event::Link,
            Ok(()) = self.changes.changed() => Event::Kept,
            () = self.shared.gate.asked() => Event::Asked,
            Some((place, verdict)) = self.verdicts.next(), if !self.verdicts.is_empty() => Event::Heard(place, verdict),
        };
        match event {
            // What there is to do is found by looking.
            Event::Stop | Event::Due | Event::Link | Event::Asked => {}
            Event::Kept => self.shared.counts.kept(&self.shared.journal),
            Event::Heard(place, verdict) => self.hear(place, verdict),
        }
        while let Some(Some((place, verdict))) = self.verdicts.next().now_or_never() {
            self.hear(place, verdict);
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("line", &self.line).finish_non_exhaustive()
    }
}
