//! Batches in B's protobuf, as gRPC and the REST gateway bring them.

use std::sync::Arc;

use bytes::Bytes;
use weir_wire::{ScannedBatch, scan_collection, scan_timber};

use crate::admission::{Admission, Admitted, Batch};
use crate::body::Received;
use crate::budget::Reservation;
use crate::refusal::Refusal;
use crate::section::Secrets;
use crate::terms::Terms;
use crate::window;

/// Events of one batch at most. An event may be two bytes, and takes fifty times that when it is decoded.
const BATCH_EVENTS: u32 = 1_000_000;

impl Admission {
    /// Takes a `producer.Timber`.
    pub(crate) async fn take_timber(
        self: &Arc<Self>,
        received: Received,
        id: Option<&str>,
    ) -> Result<Admitted, Refusal> {
        let Received { bytes, reservation } = received;
        let (terms, batch) = self.prepare(scan_timber(&bytes)?, &bytes, reservation, id)?;
        drop(bytes);
        self.admit(&terms, batch).await
    }

    /// Takes a `producer.TimberCollection`.
    pub(crate) async fn take_collection(
        self: &Arc<Self>,
        received: Received,
        id: Option<&str>,
    ) -> Result<Admitted, Refusal> {
        let Received { bytes, reservation } = received;
        let (terms, batch) = self.prepare(scan_collection(&bytes)?, &bytes, reservation, id)?;
        drop(bytes);
        self.admit(&terms, batch).await
    }

    fn prepare(
        &self,
        scanned: ScannedBatch<'_>,
        bytes: &Bytes,
        reservation: Reservation,
        id: Option<&str>,
    ) -> Result<(Terms, Batch), Refusal> {
        if scanned.items() > BATCH_EVENTS {
            return Err(Refusal::TooManyEvents { events: scanned.items(), limit: BATCH_EVENTS });
        }
        let terms = Terms::of_context(scanned.context(), &self.streams, &self.settings)?;
        let stripped = match self.settings.secrets {
            Secrets::Remove => scanned.without_app_secret(),
            Secrets::Store => None,
        };
        let batch = Batch {
            format: scanned.format(),
            events: scanned.items(),
            value: stripped.map_or_else(|| bytes.clone(), Bytes::from),
            tag: id.map(|id| window::tag(terms.stream.name.as_str(), id, bytes)),
            reservation: Some(reservation),
        };
        Ok((terms, batch))
    }
}
