//! What waits to be sent, by index, and whose turn it is.
//!
//! An index has at most half of what the others leave of the requests and of the buffer, so that however many of
//! its documents wait, the next index finds room. An index in trouble has one request and pauses between two of
//! them; the others do not wait for it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::Notify;
use weir_foundation::retry::{Backoff, Delays};

use crate::bulk::{Bulk, Draft};

/// All documents that have no verdict.
#[derive(Debug)]
pub(crate) struct Queues {
    limits: Limits,
    state: Mutex<State>,
    /// For the sender: there is more to do.
    pub(crate) work: Notify,
    /// For writers: there may be room.
    room: Notify,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bulk_documents: usize,
    pub(crate) bulk_bytes: usize,
    pub(crate) requests: usize,
    pub(crate) buffer: usize,
    pub(crate) gzip_level: u32,
    pub(crate) retry: Backoff,
}

#[derive(Debug, Default)]
struct State {
    lanes: BTreeMap<Arc<str>, Lane>,
    /// Of drafts and bulks, those being sent included.
    bytes: usize,
    sending: usize,
    /// Whose turn was last.
    last: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct Lane {
    draft: Option<Draft>,
    ready: VecDeque<Bulk>,
    bytes: usize,
    sending: usize,
    trouble: Option<Trouble>,
}

struct Trouble {
    delays: Delays<StdRng>,
    not_before: Instant,
    since: Instant,
    reason: String,
}

/// An index that does not take documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Troubled {
    pub(crate) index: Arc<str>,
    pub(crate) since: Instant,
    pub(crate) reason: String,
}

/// How a request ended, for its index.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Something was stored or refused for good.
    Progress,
    /// Nothing was; pause.
    Trouble { reason: String },
}

impl Queues {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default(), work: Notify::new(), room: Notify::new() }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether a draft is to be handed over before more is added.
    pub(crate) fn is_full(&self, draft: &Draft) -> bool {
        draft.documents() >= self.limits.bulk_documents || draft.size() >= self.limits.bulk_bytes
    }

    /// Takes a draft, once there is room.
    pub(crate) async fn submit(&self, index: &Arc<str>, draft: Draft) {
        let mut draft = Some(draft);
        loop {
            let freed = self.room.notified();
            let closed = {
                let mut state = self.state();
                let size = draft.as_ref().map_or(0, Draft::size);
                if state.admits(index, size, &self.limits) {
                    draft.take().map(|draft| self.merge(&mut state, index, draft))
                } else {
                    None
                }
            };
            if let Some(closed) = closed {
                closed.into_iter().for_each(|draft| self.close(index, draft));
                self.work.notify_one();
                return;
            }
            freed.await;
        }
    }

    /// Answers what is complete by this.
    fn merge(&self, state: &mut State, index: &Arc<str>, mut draft: Draft) -> Vec<Draft> {
        let Limits { bulk_documents, bulk_bytes, .. } = self.limits;
        state.bytes += draft.size();
        let lane = state.lanes.entry(Arc::clone(index)).or_default();
        lane.bytes += draft.size();
        let mut closed = Vec::new();
        if let Some(open) = &mut lane.draft {
            open.fill(&mut draft, bulk_documents, bulk_bytes);
            if !draft.is_empty() {
                closed.extend(lane.draft.replace(draft));
            }
        } else {
            lane.draft = Some(draft);
        }
        closed.extend(lane.draft.take_if(|open| self.is_full(open)));
        closed
    }

    /// Makes a bulk of a draft that is out of its lane; without the lock, since it compresses.
    fn close(&self, index: &Arc<str>, draft: Draft) {
        let before = draft.size();
        let bulk = draft.close(Arc::clone(index), self.limits.gzip_level);
        let mut state = self.state();
        state.resize(index, before, bulk.size());
        state.lanes.entry(Arc::clone(index)).or_default().ready.push_back(bulk);
        drop(state);
        self.room.notify_waiters();
    }

    /// Closes the drafts that have waited long enough for more, and could be sent: until then they still grow.
    pub(crate) fn close_due(&self, now: Instant) {
        let due: Vec<_> = {
            let mut state = self.state();
            let (sending, requests) = (state.sending, self.limits.requests);
            let take = |(index, lane): (&Arc<str>, &mut Lane)| {
                let is_next = lane.ready.is_empty() && lane.may_send(now, sending, requests);
                Some((Arc::clone(index), lane.draft.take_if(|draft| is_next && draft.due <= now)?))
            };
            state.lanes.iter_mut().filter_map(take).collect()
        };
        for (index, draft) in due {
            self.close(&index, draft);
        }
    }

    /// The next bulk to send, which then counts as being sent.
    pub(crate) fn start(&self, now: Instant) -> Option<Bulk> {
        let mut state = self.state();
        let index = state.next_lane(now, self.limits.requests)?;
        let bulk = state.lanes.get_mut(&index)?.ready.pop_front()?;
        state.lanes.get_mut(&index)?.sending += 1;
        state.sending += 1;
        state.last = Some(index);
        Some(bulk)
    }

    /// A request has ended. `again` is what is to be sent once more, before what waits already.
    pub(crate) fn finish(
        &self,
        index: &Arc<str>,
        sent: usize,
        again: Vec<Bulk>,
        ending: Ending,
        now: Instant,
    ) {
        let mut state = self.state();
        let left = again.iter().map(Bulk::size).sum();
        state.resize(index, sent, left);
        state.sending = state.sending.saturating_sub(1);
        let lane = state.lanes.entry(Arc::clone(index)).or_default();
        lane.sending = lane.sending.saturating_sub(1);
        again.into_iter().rev().for_each(|bulk| lane.ready.push_front(bulk));
        match ending {
            Ending::Progress => lane.trouble = None,
            Ending::Trouble { reason } => lane.worsen(reason, self.limits.retry, now),
        }
        if lane.is_idle() {
            state.lanes.remove(index);
        }
        drop(state);
        self.room.notify_waiters();
    }

    /// Removes bulks that nobody waits for any more.
    pub(crate) fn forget_abandoned(&self) {
        let mut state = self.state();
        let mut gone = 0;
        for lane in state.lanes.values_mut() {
            let before: usize = lane.ready.iter().map(Bulk::size).sum();
            lane.ready.retain(Bulk::is_wanted);
            let freed = before - lane.ready.iter().map(Bulk::size).sum::<usize>();
            lane.bytes = lane.bytes.saturating_sub(freed);
            gone += freed;
        }
        state.bytes = state.bytes.saturating_sub(gone);
        state.lanes.retain(|_, lane| !lane.is_idle());
        drop(state);
        self.room.notify_waiters();
    }

    /// When there is something to do that waits for nothing but time. What was due before `now` and is not done waits
    /// for the end of a request.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Instant> {
        let state = self.state();
        let of_lane = |lane: &Lane| {
            let draft = lane.draft.as_ref().map(|draft| draft.due);
            let has_work = draft.is_some() || !lane.ready.is_empty();
            let pause = lane.trouble.as_ref().filter(|_| has_work).map(|trouble| trouble.not_before);
            [draft, pause]
        };
        state.lanes.values().flat_map(of_lane).flatten().filter(|due| *due > now).min()
    }

    /// The indices that do not take documents, the oldest trouble first.
    pub(crate) fn troubled(&self) -> Vec<Troubled> {
        let state = self.state();
        let of_lane = |(index, lane): (&Arc<str>, &Lane)| {
            let trouble = lane.trouble.as_ref()?;
            Some(Troubled { index: Arc::clone(index), since: trouble.since, reason: trouble.reason.clone() })
        };
        let mut troubled: Vec<_> = state.lanes.iter().filter_map(of_lane).collect();
        troubled.sort_by_key(|trouble| trouble.since);
        troubled
    }

    /// Bytes and requests.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.state();
        (state.bytes, state.sending)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The first that comes does, however large it is: else it never could.
    fn admits(&self, index: &Arc<str>, size: usize, limits: &Limits) -> bool {
        let own = self.lanes.get(index).map_or(0, |lane| lane.bytes);
        let others = self.bytes.saturating_sub(own);
        let share = limits.buffer.saturating_sub(others) / 2;
        self.bytes == 0
            || (self.bytes < limits.buffer && (own == 0 || own + size <= share.max(limits.bulk_bytes)))
    }

    /// In turn, of those that have something to send and may.
    fn next_lane(&self, now: Instant, requests: usize) -> Option<Arc<str>> {
        let may = |(_, lane): &(&Arc<str>, &Lane)| {
            !lane.ready.is_empty() && lane.may_send(now, self.sending, requests)
        };
        let from = self.last.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.lanes.range::<Arc<str>, _>((from, Bound::Unbounded));
        behind.chain(self.lanes.iter()).find(may).map(|(index, _)| Arc::clone(index))
    }

    fn resize(&mut self, index: &Arc<str>, before: usize, after: usize) {
        self.bytes = (self.bytes + after).saturating_sub(before);
        let lane = self.lanes.entry(Arc::clone(index)).or_default();
        lane.bytes = (lane.bytes + after).saturating_sub(before);
    }
}

impl Lane {
    /// Whether one more request may be begun, while so many are under way in all.
    fn may_send(&self, now: Instant, sending: usize, requests: usize) -> bool {
        let left = requests.saturating_sub(sending - self.sending);
        let share = if self.trouble.is_some() { 1 } else { (left / 2).max(1) };
        let is_pausing = self.trouble.as_ref().is_some_and(|trouble| trouble.not_before > now);
        sending < requests && self.sending < share && !is_pausing
    }

    fn is_idle(&self) -> bool {
        self.draft.is_none() && self.ready.is_empty() && self.sending == 0 && self.bytes == 0
    }

    fn worsen(&mut self, reason: String, retry: Backoff, now: Instant) {
        let trouble = self.trouble.get_or_insert_with(|| Trouble {
            delays: retry.delays(StdRng::from_rng(&mut rand::rng())),
            not_before: now,
            since: now,
            reason: String::new(),
        });
        trouble.reason = reason;
        trouble.not_before = now + trouble.delays.next().unwrap_or_default();
    }
}

impl std::fmt::Debug for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trouble").field("reason", &self.reason).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
