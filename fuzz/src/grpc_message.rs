//! Bodies of unary calls: the gRPC door finds the message that is there, however the body is cut. The first byte
//! chooses the encoding, the next two say where the body is cut.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use weir_foundation::clock::{Clock, SystemClock};
use weir_foundation::health::Health;
use weir_foundation::metrics;
use weir_foundation::supervise::{DrainDeadlines, Supervisor};
use weir_journal::memory::MemoryJournal;
use weir_model::ByteSize;
use weir_producer::{Parts, Producer, ProducerSection, Records, Settings};
use weir_wire::compression::{Encoding, decompress};

const LIMIT: usize = 64 << 10;

static DOOR: LazyLock<Door> = LazyLock::new(Door::new);

struct Door {
    runtime: Runtime,
    producer: Producer,
    _supervisor: Supervisor,
}

impl Door {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().build().expect("a runtime without drivers");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let supervisor =
            Supervisor::new(runtime.handle().clone(), Arc::clone(&clock), DrainDeadlines::default());
        let parts = Parts {
            journal: Arc::new(MemoryJournal::new(Arc::clone(&clock))),
            clock: Arc::clone(&clock),
            spawner: supervisor.spawner(),
            health: &Health::new(clock),
            metrics: &mut metrics::Builder::new(),
            records: Records::AsReceived,
            shared_limits: None,
            fleet: None,
        };
        let defaults = Settings::validate(&ProducerSection::default()).expect("the defaults are good");
        let settings = Settings { max_message: ByteSize(LIMIT as u64), ..defaults };
        let producer = runtime.block_on(Producer::start(settings, parts)).expect("the journal can be read");
        Self { runtime, producer, _supervisor: supervisor }
    }
}

pub fn run(data: &[u8]) {
    let Some(([choice, first, second], body)) = data.split_first_chunk() else { return };
    let encoding = [Encoding::Identity, Encoding::Gzip, Encoding::Zstd][usize::from(*choice % 3)];
    let (start, rest) = body.split_at(body.len().min(usize::from(*first)));
    let (middle, end) = rest.split_at(rest.len().min(usize::from(*second)));
    let pieces = [start, middle, end].map(Bytes::copy_from_slice);
    let found = DOOR.runtime.block_on(DOOR.producer.grpc_message(&pieces, encoding));
    assert_eq!(found, message(body, encoding));
}

/// What the protocol says.
fn message(body: &[u8], encoding: Encoding) -> Option<Bytes> {
    let (compressed, rest) = body.split_first()?;
    let (length, message) = rest.split_first_chunk()?;
    if u32::from_be_bytes(*length) as usize != message.len() || message.len() > LIMIT {
        return None;
    }
    match (compressed, encoding) {
        (0, _) => Some(Bytes::copy_from_slice(message)),
        (1, Encoding::Gzip | Encoding::Zstd) => decompress(encoding, message, LIMIT).ok().map(Bytes::from),
        _ => None,
    }
}
