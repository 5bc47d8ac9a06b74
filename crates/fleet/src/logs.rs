//! Lines of agents' logs that one process wants of agents at others: it asks in the state, where the process at which the
//! agent attends finds the question and leaves the answer.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use weir_auth::AgentName;
use weir_auth::secret::random_text;
use weir_state::Expect;

use crate::documents::{Document, LOG_REQUEST, create, key, moment, replace, text};
use crate::failure::StoreError;
use crate::fleet::{Decision, Fleet};

/// Somebody wants lines of an agent's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRequest {
    pub id: String,
    pub agent: AgentName,
    pub lines: u32,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LogAnswer {
    /// The oldest first.
    Lines(Vec<String>),
    /// The agent did not answer in time.
    Silent,
    /// Too many want its log at once.
    Crowded,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogRequestDocument {
    #[serde(with = "text")]
    agent: AgentName,
    lines: u32,
    #[serde(with = "moment")]
    asked: SystemTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<LogAnswer>,
}

impl Document for LogRequestDocument {
    const KIND: weir_state::Kind = LOG_REQUEST;
}

/// Nobody waits so long, also where clocks are some minutes apart.
const FORGOTTEN: Duration = Duration::from_secs(300);

/// Bytes of lines that are kept, the newest of them: as JSON they are at most six times as long.
const MOST_BYTES: usize = weir_state::MAX_VALUE / 8;

impl LogRequestDocument {
    /// Whether nobody waits for the answer any more.
    fn is_over(&self, now: SystemTime) -> bool {
        now.duration_since(self.asked).is_ok_and(|ago| ago > FORGOTTEN)
    }
}

impl Fleet {
    /// Asks the process at which the agent attends, and waits for its answer, however long that takes: the caller limits
    /// it. Who stops waiting leaves the question for [`Fleet::maintain`] to remove.
    pub async fn ask_for_log(&self, agent: &AgentName, lines: u32) -> Result<LogAnswer, StoreError> {
        let id = random_text().reveal().to_owned();
        let question = LogRequestDocument { agent: agent.clone(), lines, asked: self.now(), answer: None };
        let mut news = self.news();
        self.change(|| async {
            Ok::<_, StoreError>(Decision { writes: vec![create(&id, &question)], outcome: () })
        })
        .await?;
        loop {
            news.mark_unchanged();
            let answer = match self.snapshot().tables.log_requests.get(&id) {
                Some(found) => found.answer.clone(),
                // Removed: it took too long.
                None => Some(LogAnswer::Silent),
            };
            if let Some(answer) = answer {
                self.remove_log_request(&id).await?;
                return Ok(answer);
            }
            if news.changed().await.is_err() {
                return Ok(LogAnswer::Silent);
            }
        }
    }

    /// The questions that are not answered yet, of agents at any process.
    #[must_use]
    pub fn log_requests(&self) -> Vec<LogRequest> {
        let (snapshot, now) = (self.snapshot(), self.now());
        let open = snapshot.tables.log_requests.iter();
        let open = open.filter(|(_, found)| found.answer.is_none() && !found.is_over(now));
        open.map(|(id, found)| LogRequest { id: id.clone(), agent: found.agent.clone(), lines: found.lines })
            .collect()
    }

    /// The first answer counts; one that nobody waits for any more is dropped.
    pub async fn answer_log_request(
        &self,
        request: &LogRequest,
        answer: LogAnswer,
    ) -> Result<(), StoreError> {
        let answer = &match answer {
            LogAnswer::Lines(lines) => LogAnswer::Lines(newest(lines)),
            other => other,
        };
        self.change(|| async move {
            let found = self.find::<LogRequestDocument>(&request.id).await?;
            let Some(mut found) = found.filter(|found| found.document.answer.is_none()) else {
                return Ok::<_, StoreError>(Decision::nothing(()));
            };
            found.document.answer = Some(answer.clone());
            Ok(Decision { writes: vec![replace(&request.id, found.version, &found.document)], outcome: () })
        })
        .await
    }

    pub(crate) async fn remove_old_log_requests(&self, now: SystemTime) -> Result<(), StoreError> {
        let snapshot = self.snapshot();
        let over = snapshot.tables.log_requests.iter().filter(|(_, found)| found.is_over(now));
        for (id, _) in over {
            self.remove_log_request(id).await?;
        }
        Ok(())
    }

    async fn remove_log_request(&self, id: &str) -> Result<(), StoreError> {
        self.change(|| async {
            let writes = vec![key::<LogRequestDocument>(id).delete(Expect::Any)];
            Ok(Decision { writes, outcome: () })
        })
        .await
    }
}

/// As many of the last lines as have [`MOST_BYTES`] together.
fn newest(mut lines: Vec<String>) -> Vec<String> {
    let mut left = MOST_BYTES;
    let kept = lines.iter().rev().take_while(|line| {
        let fits = line.len() <= left;
        left = left.saturating_sub(line.len());
        fits
    });
    let dropped = lines.len() - kept.count();
    lines.drain(..dropped);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_fit() {
        let line = |bytes: usize| "x".repeat(bytes);
        assert_eq!(newest(vec!["a".into(), "b".into()]), ["a", "b"]);
        assert_eq!(newest(vec![line(MOST_BYTES), "b".into()]), ["b"]);
        assert_eq!(newest(vec!["a".into(), line(MOST_BYTES)]).len(), 1);
        assert_eq!(newest(vec![line(MOST_BYTES + 1)]), [""; 0]);
        assert_eq!(newest(Vec::new()), [""; 0]);
    }
}
