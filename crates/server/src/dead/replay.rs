//! `POST /api/v1/dead/replay` and `POST /api/v1/dead/purge`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use weir_model::EventId;
use weir_store::{DeadLetter, DeadLetterFilter};

use super::selection::{Selection, selection};
use crate::api;
use crate::door::Remedy;
use crate::failure::Failure;
use crate::server::Shared;

type Asked = Result<Json<api::DeadSelection>, JsonRejection>;

/// Letters that are listed at once.
const PAGE: usize = 100;

/// Refusals that an answer lists.
const REFUSALS: usize = 100;

pub(super) async fn replay(
    State(shared): State<Arc<Shared>>,
    asked: Asked,
) -> Result<Json<api::ReplayAnswer>, Failure> {
    let Json(asked) = asked?;
    let _turn = shared.replays.enter().await?;
    let mut answer = api::ReplayAnswer { accepted: 0, refused: Vec::new(), refused_total: 0 };
    match selection(&shared.parts.names, asked)? {
        Selection::Ids(ids) => {
            for id in ids {
                match shared.parts.dead_letters.get(&id).await? {
                    Some(letter) => drop(give(&shared, &letter, &mut answer).await?),
                    None => refuse(&mut answer, &id, "there is no such dead letter".to_owned()),
                }
            }
        }
        Selection::Filter(filter) => replay_filtered(&shared, &filter, &mut answer).await?,
    }
    Ok(Json(answer))
}

async fn replay_filtered(
    shared: &Shared,
    filter: &DeadLetterFilter,
    answer: &mut api::ReplayAnswer,
) -> Result<(), Failure> {
    let dead_letters = &shared.parts.dead_letters;
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
            if give(shared, &letter, answer).await? == Remedy::TryLater {
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
async fn give(
    shared: &Shared,
    letter: &DeadLetter,
    answer: &mut api::ReplayAnswer,
) -> Result<Remedy, Failure> {
    let id = EventId(letter.position.clone());
    match shared.parts.door.give_again(letter).await {
        Ok(()) => {
            shared.parts.dead_letters.purge(std::slice::from_ref(&id)).await?;
            answer.accepted += 1;
            Ok(Remedy::None)
        }
        Err(refused) => {
            refuse(answer, &id, refused.reason);
            Ok(refused.remedy)
        }
    }
}

fn refuse(answer: &mut api::ReplayAnswer, id: &EventId, reason: String) {
    answer.refused_total += 1;
    if answer.refused.len() < REFUSALS {
        answer.refused.push(api::ReplayRefusal { id: id.to_string(), reason });
    }
}

pub(super) async fn purge(
    State(shared): State<Arc<Shared>>,
    asked: Asked,
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
