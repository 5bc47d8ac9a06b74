//! The sessions of the agents that attend at this process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use weir_auth::AgentName;
use weir_foundation::clock::{Clock, timeout};

/// How long an agent may take to give lines of its log.
const LOG_PATIENCE: Duration = Duration::from_secs(10);

/// Requests to one agent that wait.
const QUEUE: usize = 4;

/// Where sessions are found by the names of their agents. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Hub(Arc<Mutex<Sessions>>);

#[derive(Debug, Default)]
struct Sessions {
    last: u64,
    by_agent: HashMap<AgentName, Attending>,
}

#[derive(Debug)]
struct Attending {
    session: u64,
    wishes: mpsc::Sender<LogWish>,
    /// When sessions began while the one before was there: the last of them.
    takeovers: VecDeque<SystemTime>,
}

/// For how long it is remembered that sessions took the place of others.
pub(crate) const RECENTLY: Duration = Duration::from_secs(60);

/// How many of them are remembered.
const TAKEOVERS: usize = 32;

/// Somebody wants lines of the agent's log.
#[derive(Debug)]
pub(super) struct LogWish {
    pub(super) lines: u32,
    pub(super) answer: oneshot::Sender<Vec<String>>,
}

/// The log of an agent could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    #[error("the agent is not connected")]
    Absent,
    #[error("too many want the log of this agent at once")]
    Crowded,
    #[error("the agent did not answer in time")]
    Silent,
}

/// A place in the hub, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    hub: Hub,
    agent: AgentName,
    session: u64,
}

impl Hub {
    /// The last lines that an agent has logged, the oldest first.
    pub async fn log(
        &self,
        agent: &AgentName,
        lines: u32,
        clock: &dyn Clock,
    ) -> Result<Vec<String>, LogError> {
        let wishes = self.sessions().by_agent.get(agent).map(|attending| attending.wishes.clone());
        let (answer, answered) = oneshot::channel();
        wishes.ok_or(LogError::Absent)?.try_send(LogWish { lines, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => LogError::Crowded,
            mpsc::error::TrySendError::Closed(_) => LogError::Absent,
        })?;
        let answered = timeout(clock, LOG_PATIENCE, answered).await;
        let unanswered = |_gone| if self.has(agent) { LogError::Crowded } else { LogError::Absent };
        answered.map_err(|_elapsed| LogError::Silent)?.map_err(unanswered)
    }

    /// How many agents attend here.
    #[must_use]
    pub fn attending(&self) -> usize {
        self.sessions().by_agent.len()
    }

    /// Whether the agent attends here.
    pub(super) fn has(&self, agent: &AgentName) -> bool {
        self.sessions().by_agent.contains_key(agent)
    }

    /// Takes the place of a former session of the agent, if there is one; and how often sessions took the place of one
    /// that was there, in the [`RECENTLY`] before this one.
    pub(super) fn enter(
        &self,
        agent: &AgentName,
        now: SystemTime,
    ) -> (Place, mpsc::Receiver<LogWish>, usize) {
        let (wishes, wished) = mpsc::channel(QUEUE);
        let mut sessions = self.sessions();
        sessions.last += 1;
        let session = sessions.last;
        let mut takeovers = VecDeque::new();
        if let Some(former) = sessions.by_agent.remove(agent) {
            takeovers = former.takeovers;
            takeovers.push_back(now);
            let long_ago = |at: &SystemTime| now.duration_since(*at).is_ok_and(|ago| ago > RECENTLY);
            while takeovers.len() > TAKEOVERS || takeovers.front().is_some_and(long_ago) {
                takeovers.pop_front();
            }
        }
        let count = takeovers.len();
        sessions.by_agent.insert(agent.clone(), Attending { session, wishes, takeovers });
        (Place { hub: self.clone(), agent: agent.clone(), session }, wished, count)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sessions = self.hub.sessions();
        if sessions.by_agent.get(&self.agent).is_some_and(|own| own.session == self.session) {
            sessions.by_agent.remove(&self.agent);
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_foundation::clock::SystemClock;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn it_is_counted_how_often_sessions_take_the_place_of_others() {
        let (hub, web) = (Hub::default(), AgentName::new("web").expect("a name"));
        let mut places = Vec::new();
        for (seconds, expected) in [(0, 0), (10, 1), (20, 2), (70, 3), (71, 3), (200, 1)] {
            let (place, wished, takeovers) = hub.enter(&web, at(seconds));
            assert_eq!(takeovers, expected, "{seconds}");
            places.push((place, wished));
        }
        drop(places);
        drop(hub.enter(&web, at(201)));
        let (_place, _wished, takeovers) = hub.enter(&web, at(202));
        assert_eq!(takeovers, 0, "nobody was there");
    }

    #[tokio::test]
    async fn the_last_session_of_an_agent_counts() {
        let (hub, web) = (Hub::default(), AgentName::new("web").expect("a name"));
        let (first, _wished, _) = hub.enter(&web, at(0));
        let (second, mut wished, _) = hub.enter(&web, at(0));
        drop(first);
        assert!(hub.has(&web));
        let asked = hub.log(&web, 3, &SystemClock);
        let answering = async {
            let LogWish { lines, answer } = wished.recv().await.expect("somebody asks");
            answer.send(vec!["line".to_owned(); lines as usize]).expect("it is waited for");
        };
        assert_eq!(tokio::join!(asked, answering).0, Ok(vec!["line".to_owned(); 3]));
        drop(second);
        assert_eq!((hub.has(&web), hub.log(&web, 1, &SystemClock).await), (false, Err(LogError::Absent)));
    }
}
