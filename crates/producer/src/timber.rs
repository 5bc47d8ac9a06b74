//! Batches in B's protobuf, as gRPC and the REST gateway bring them.

use std::sync::Arc;

use bytes::Bytes;
use weir_wire::{Malformed, ScannedBatch, scan_collection, scan_timber};

use crate::admission::{Admission, Admitted, BATCH_EVENTS, Batch};
use crate::body::Received;
use crate::budget::Reservation;
use crate::refusal::Refusal;
use crate::section::Secrets;
use crate::terms::Terms;
use crate::window;

type Scan = for<'a> fn(&'a [u8]) -> Result<ScannedBatch<'a>, Malformed>;

impl Admission {
    /// Takes a `producer.Timber`.
    pub(crate) async fn take_timber(
        self: &Arc<Self>,
        received: Received,
        id: Option<&str>,
    ) -> Result<Admitted, Refusal> {
        self.take_batch(scan_timber, received, id).await
    }

    /// Takes a `producer.TimberCollection`.
    pub(crate) async fn take_collection(
        self: &Arc<Self>,
        received: Received,
        id: Option<&str>,
    ) -> Result<Admitted, Refusal> {
        self.take_batch(scan_collection, received, id).await
    }

    async fn take_batch(
        self: &Arc<Self>,
        scan: Scan,
        received: Received,
        id: Option<&str>,
    ) -> Result<Admitted, Refusal> {
        let Received { bytes, reservation } = received;
        let size = bytes.len();
        let (admission, id) = (Arc::clone(self), id.map(str::to_owned));
        let prepare = move || admission.prepare(scan(&bytes)?, &bytes, reservation, id.as_deref());
        let (terms, batch) = self.work(size, prepare).await??;
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
            return Err(Refusal::TooManyEvents { limit: BATCH_EVENTS });
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
