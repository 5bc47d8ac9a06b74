//! `GET /api/v1/journal/…`: looking into the journal, read-only.

mod check;
mod dump;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};

pub use self::check::{CHECK_BUDGET, Tally};
pub use self::dump::describe;
use weir_journal::ReadBudget;
use weir_model::Offset;

use crate::failure::Failure;
use crate::route::Route;
use crate::server::{JournalFiles, Shared};
use crate::{api, question};

const DEFAULT_LIMIT: u32 = 100;
const LIMIT: u32 = 1_000;

const OTHERS_CHECK: &str =
    "the files of this journal are its brokers', which check them; records are read with `weir journal dump`";

/// A dump is for people, who need no more at once.
pub const DUMP_BYTES: usize = 4 << 20;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/api/v1/journal/check",
            "checkJournal",
            "Read the whole journal and say what can not be read",
            check_all,
        )
        .json::<api::JournalCheck>(),
        Route::get(
            "/api/v1/journal/dump/{stream}/{partition}",
            "dumpJournal",
            "Records of a partition as they are, but redacted",
            dump_partition,
        )
        .query::<api::JournalDumpParameters>()
        .json::<api::JournalDump>(),
    ]
}

async fn check_all(State(shared): State<Arc<Shared>>) -> Result<Json<api::JournalCheck>, Failure> {
    if shared.parts.journal_files == JournalFiles::OfOthers {
        return Err(Failure::not_here(OTHERS_CHECK));
    }
    // It reads everything: no more of that at once than of searches.
    let _place = shared.searches.enter().await?;
    let partitions = check::check(&*shared.parts.journal).await?;
    Ok(Json(api::JournalCheck { partitions, quarantined: shared.parts.auditor.quarantined()? }))
}

async fn dump_partition(
    State(shared): State<Arc<Shared>>,
    place: Result<Path<(String, String)>, PathRejection>,
    parameters: Result<Query<api::JournalDumpParameters>, QueryRejection>,
) -> Result<Json<api::JournalDump>, Failure> {
    let (Path((written, partition)), Query(parameters)) = (place?, parameters?);
    let stream =
        shared.parts.names.full(&written).map_err(|error| Failure::bad_parameter(error.to_string()))?;
    let limit = question::number("limit", parameters.limit, DEFAULT_LIMIT, 1, LIMIT)?;
    let streams = shared.parts.journal.streams().await?;
    let info = streams.iter().find(|info| info.name == stream);
    let info = info.ok_or_else(|| Failure::not_found(format!("there is no stream `{stream}`")))?;
    let bounds = info.partitions.iter().find(|bounds| bounds.partition.partition.to_string() == partition);
    let bounds = bounds
        .ok_or_else(|| Failure::not_found(format!("stream `{stream}` has no partition `{partition}`")))?;
    let from = parameters.from.map_or(bounds.start, Offset);
    let budget = ReadBudget { bytes: DUMP_BYTES, records: limit };
    let batch = shared.parts.journal.read(&bounds.partition, from, budget).await?;
    Ok(Json(describe(bounds, &batch, &shared.parts.redactor)))
}
