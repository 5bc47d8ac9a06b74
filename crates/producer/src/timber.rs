//! Batches in barito-flow's protobuf, as gRPC and the REST gateway bring them.

use std::sync::Arc;

use bytes::Bytes;
use weir_model::ByteSize;
use weir_wire::shape::{KeptSecrets, Layout, Shape, Shaped, Times};
use weir_wire::{Context, Malformed, ScannedBatch, scan_collection, scan_timber};

use crate::admission::{Admission, Admitted, BATCH_EVENTS, Batch};
use crate::body::Received;
use crate::budget::Reservation;
use crate::producer::Records;
use crate::refusal::Refusal;
use crate::section::{Compat, RecordFormat, Secrets};
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
        // A request without a context has an empty one.
        let none = Context::default();
        let context = scanned.context().unwrap_or(&none);
        let known = self.apps.of_client(context.topic, context.app_secret)?;
        let terms = Terms::of_context(context, &known, &self.streams, &self.settings)?;
        let secrets = if known.by_pass { Secrets::Remove } else { self.settings.secrets };
        // Passes change; the batch is the same.
        let known_by = known.by_pass.then(|| scanned.without_app_secret()).flatten();
        let records = match self.records {
            Records::AsReceived => vec![as_received(&scanned, bytes, secrets)],
            Records::Shaped { limit } => scanned.shape(&self.shape(limit, secrets))?,
        };
        let mut reservation = reservation;
        let shaped: usize = records.iter().map(|record| record.value.len()).sum();
        // A batch whose context goes with each event is larger than it came.
        reservation.grow_to(shaped as u64)?;
        let batch = Batch {
            events: scanned.items(),
            cost: scanned.items(),
            records,
            mark: None,
            tag: id
                .map(|id| window::tag(terms.stream.name.as_str(), id, known_by.as_deref().unwrap_or(bytes))),
            reservation: Some(reservation),
        };
        Ok((terms, batch))
    }

    fn shape(&self, limit: ByteSize, secrets: Secrets) -> Shape {
        Shape {
            layout: match self.settings.record_format {
                RecordFormat::Collection => Layout::Collection,
                RecordFormat::Timber => Layout::Timber,
            },
            times: match self.settings.compat {
                Compat::Weir => Times::FillIn,
                Compat::Barito => Times::Overwrite,
            },
            secrets: match secrets {
                Secrets::Remove => KeptSecrets::None,
                Secrets::Store => KeptSecrets::All,
            },
            now: self.clock.now().into(),
            limit: limit.as_usize(),
        }
    }
}

fn as_received(scanned: &ScannedBatch<'_>, bytes: &Bytes, secrets: Secrets) -> Shaped {
    let stripped = match secrets {
        Secrets::Remove => scanned.without_app_secret(),
        Secrets::Store => None,
    };
    let value = stripped.map_or_else(|| bytes.clone(), Bytes::from);
    Shaped { format: scanned.format(), events: scanned.items(), value }
}
