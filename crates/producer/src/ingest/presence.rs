//! One session at a time for each agent.
//!
//! The connection of an agent may break without this side being told. What the former session has in hand must be stored,
//! or given up, before the next one asks how far a source is: both would else store the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedMutexGuard, watch};

use super::visitor::Whose;

/// Who is here. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Presence(Arc<Mutex<HashMap<Whose, Arc<Place>>>>);

/// The place of one agent.
#[derive(Debug, Default)]
struct Place {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Counts those who came: whoever is not the last has to leave.
    comers: watch::Sender<u64>,
}

/// The place, taken. Given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    presence: Presence,
    agent: Whose,
    place: Arc<Place>,
    newer: watch::Receiver<u64>,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Presence {
    /// Asks the former session of the agent to leave, and waits until it has.
    pub(super) async fn enter(&self, agent: Whose) -> Seat {
        let (place, newer) = {
            // Held meanwhile, so that whoever comes next is noticed.
            let mut places = self.places();
            let place = places.entry(agent.clone()).or_default();
            place.comers.send_modify(|comers| *comers += 1);
            (Arc::clone(place), place.comers.subscribe())
        };
        let turn = Arc::clone(&place.turn);
        let mut seat = Seat { presence: self.clone(), agent, place, newer, turn: None };
        seat.turn = Some(turn.lock_owned().await);
        seat
    }

    fn places(&self) -> MutexGuard<'_, HashMap<Whose, Arc<Place>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Waits until another session of the agent wants the place.
    pub(super) async fn wanted(&mut self) {
        // The sender lives as long as the place.
        self.newer.changed().await.ok();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.turn = None;
        let mut places = self.presence.places();
        // The map has one, and this is the other.
        if Arc::strong_count(&self.place) == 2 {
            places.remove(&self.agent);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn local(name: &str) -> Whose {
        Whose::Local(name.to_owned())
    }

    #[tokio::test]
    async fn who_comes_later_waits_until_the_former_has_left() {
        let presence = Presence::default();
        let mut first = presence.enter(local("web")).await;
        let mut other = presence.enter(local("db")).await;
        assert_eq!(first.wanted().now_or_never(), None);
        let mut second = Box::pin(presence.enter(local("web")));
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(first.wanted().now_or_never(), Some(()));
        assert_eq!(other.wanted().now_or_never(), None, "another agent has its own");
        drop(first);
        let mut second = second.now_or_never().expect("its turn");
        assert_eq!(second.wanted().now_or_never(), None);
        drop((second, other));
        assert_eq!(presence.places().len(), 0, "nobody is remembered");
    }
}
