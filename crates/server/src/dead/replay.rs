//! `POST /api/v1/dead/replay` and `POST /api/v1/dead/purge`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use weir_model::EventId;
use weir_store::{DeadLetter, DeadLetterFilter};

use super::edit::{Edit, EditError};
use super::selection::{Selection, selection};
use crate::api;
use crate::door::{Door, Remedy};
use crate::failure::Failure;
use crate::server::Shared;

/// Letters that are listed at once.
const PAGE: usize = 100;

/// Refusals that an answer lists.
const REFUSALS: usize = 100;

const NO_DOOR: &str =
    "no producer is known to give them to: set `server.producer_grpc_url` and `server.producer_http_url`";

pub(super) async fn replay(
    State(shared): State<Arc<Shared>>,
    asked: Result<Json<api::Replay>, JsonRejection>,
) -> Result<Json<api::ReplayAnswer>, Failure> {
    let Json(api::Replay { ids, stream, code, all, content, set }) = asked?;
    let edit = Edit::new(content, set)?;
    if edit.is_of_one() && ids.len() != 1 {
        return Err(Failure::bad_parameter("`content` is of one letter: name it by `ids`"));
    }
    let selection = selection(&shared.parts.names, api::DeadSelection { ids, stream, code, all })?;
    let Some(door) = &shared.parts.door else { return Err(Failure::not_here(NO_DOOR)) };
    let _turn = shared.replays.enter().await?;
    let mut replay =
        Replay { shared: &shared, door: &**door, edit: &edit, answer: api::ReplayAnswer::default() };
    match selection {
        Selection::Ids(ids) => replay.named(ids).await?,
        Selection::Filter(filter) => replay.filtered(&filter).await?,
    }
    Ok(Json(replay.answer))
}

/// A replay that goes on.
struct Replay<'a> {
    shared: &'a Shared,
    door: &'a dyn Door,
    edit: &'a Edit,
    answer: api::ReplayAnswer,
}

impl Replay<'_> {
    async fn named(&mut self, ids: Vec<EventId>) -> Result<(), Failure> {
        for id in ids {
            match self.shared.parts.dead_letters.get(&id).await? {
                Some(letter) => drop(self.give(letter).await?),
                None => self.refuse(&id, "there is no such dead letter".to_owned()),
            }
        }
        Ok(())
    }

    async fn filtered(&mut self, filter: &DeadLetterFilter) -> Result<(), Failure> {
        let dead_letters = &self.shared.parts.dead_letters;
        let mut after = None;
        // A letter that dies again gets a new key behind this one; without the bound a replay could chase it.
        let newest = dead_letters.newest().await?;
        loop {
            let page = dead_letters.list(filter, after, PAGE).await?;
            for (key, entry) in &page {
                if Some(*key) > newest {
                    return Ok(());
                }
                after = Some(*key);
                let id = EventId(entry.position.clone());
                // Absent if it was purged meanwhile.
                let Some(letter) = dead_letters.get(&id).await? else { continue };
                if self.give(letter).await? == Remedy::TryLater {
                    return Ok(());
                }
            }
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// Gives one letter to the door. The letter goes only when the event is durable; the door knows the event
    /// by its id if the process dies in between. Answers whether the rest had better wait.
    async fn give(&mut self, letter: DeadLetter) -> Result<Remedy, Failure> {
        let id = EventId(letter.position.clone());
        let letter = match self.edited(letter).await? {
            Ok(letter) => letter,
            Err(error) => {
                self.refuse(&id, error.to_string());
                return Ok(Remedy::None);
            }
        };
        match self.door.give_again(&letter).await {
            Ok(()) => {
                self.shared.parts.dead_letters.purge(std::slice::from_ref(&id)).await?;
                self.answer.accepted += 1;
                Ok(Remedy::None)
            }
            Err(refused) => {
                self.refuse(&id, refused.reason);
                Ok(refused.remedy)
            }
        }
    }

    /// Away from the runtime: a letter may be 20 MB.
    async fn edited(&self, letter: DeadLetter) -> Result<Result<DeadLetter, EditError>, Failure> {
        if self.edit.is_nothing() {
            return Ok(Ok(letter));
        }
        let edit = self.edit.clone();
        Ok(self.shared.parts.spawner.blocking("server.edit", move || edit.apply(letter)).await?)
    }

    fn refuse(&mut self, id: &EventId, reason: String) {
        self.answer.refused_total += 1;
        if self.answer.refused.len() < REFUSALS {
            self.answer.refused.push(api::ReplayRefusal { id: id.to_string(), reason });
        }
    }
}

pub(super) async fn purge(
    State(shared): State<Arc<Shared>>,
    asked: Result<Json<api::DeadSelection>, JsonRejection>,
) -> Result<Json<api::PurgeAnswer>, Failure> {
    let Json(asked) = asked?;
    let dead_letters = &shared.parts.dead_letters;
    let mut purged = 0;
    match selection(&shared.parts.names, asked)? {
        Selection::Ids(ids) => purged = dead_letters.purge(&ids).await?,
        Selection::Filter(filter) => {
            let mut after = None;
            loop {
                let page = dead_letters.list(&filter, after, PAGE).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(*last);
                let ids: Vec<_> = page.into_iter().map(|(_, entry)| EventId(entry.position)).collect();
                purged += dead_letters.purge(&ids).await?;
            }
        }
    }
    Ok(Json(api::PurgeAnswer { purged }))
}
