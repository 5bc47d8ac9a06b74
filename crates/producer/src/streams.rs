//! The streams that batches went to, with everything that is needed for the next batch.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::{BufMut, Bytes, BytesMut};
use hashbrown::HashMap;
use weir_journal::{CreateStreamError, Creation, IfMissing, Journal, StreamSpec};
use weir_model::{IllegalStreamName, StreamName};

use crate::metrics::{Metrics, StreamMetrics};
use crate::quota::{Owner, Quota, Spent};
use crate::refusal::Refusal;
use crate::section::Settings;

/// A stream, prepared: what each batch needs of it is made once.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: StreamName,
    pub(crate) metrics: StreamMetrics,
    /// `producer.ProduceResult` in a gRPC frame: the answer to every batch that was stored in it.
    pub(crate) grpc_answer: Bytes,
    topic: Box<str>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is known of it; its events count under a label that all such streams share.
    New,
    Exists,
}

/// All streams that exist and that a batch went to. Their number is bounded by that of the journal's
/// streams: a name that was only ever refused is not kept.
#[derive(Debug)]
pub(crate) struct Streams {
    prefix: String,
    suffix: String,
    known: RwLock<HashMap<Box<str>, Arc<Stream>, foldhash::fast::RandomState>>,
    quota: Quota,
    journal: Arc<dyn Journal>,
    metrics: Arc<Metrics>,
}

/// What a batch asks for, should its stream be new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Absent means the journal's default, as for `replicas`.
    pub(crate) partitions: Option<u32>,
    pub(crate) replicas: Option<u32>,
    pub(crate) owner: Owner,
}

impl Streams {
    pub(crate) fn new(settings: &Settings, journal: Arc<dyn Journal>, metrics: Arc<Metrics>) -> Self {
        let (prefix, suffix) = (settings.stream_prefix.clone(), settings.stream_suffix.clone());
        let quota = Quota::new(settings.max_app_streams);
        Self { prefix, suffix, known: RwLock::default(), quota, journal, metrics }
    }

    /// Whose streams a batch with this secret has made.
    pub(crate) fn owner(&self, secret: Option<&str>) -> Owner {
        self.quota.owner(secret.unwrap_or_default())
    }

    /// The stream of a topic as clients name it, without prefix and suffix.
    pub(crate) fn find(&self, topic: &str) -> Result<Arc<Stream>, IllegalStreamName> {
        if let Some(stream) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(topic) {
            return Ok(Arc::clone(stream));
        }
        // Prefix and suffix may make a legal name of one that is none itself.
        StreamName::new(topic)?;
        let name = StreamName::new(&format!("{}{topic}{}", self.prefix, self.suffix))?;
        Ok(Arc::new(Stream::new(name, topic, State::New, self.metrics.of_new_streams())))
    }

    /// The stream, created if it has to be.
    pub(crate) async fn ensure(&self, stream: &Arc<Stream>, wanted: Wanted) -> Result<Arc<Stream>, Refusal> {
        match stream.state {
            State::Exists => Ok(Arc::clone(stream)),
            State::New => self.create(stream, wanted).await,
        }
    }

    /// As [`Streams::ensure`], for a stream of which the journal says that it does not exist.
    pub(crate) async fn create(
        &self,
        stream: &Stream,
        Wanted { partitions, replicas, owner }: Wanted,
    ) -> Result<Arc<Stream>, Refusal> {
        let name = stream.name.clone();
        let spec = StreamSpec { partitions, replicas, ..StreamSpec::new(name.clone()) };
        match self.quota.claim(owner) {
            Ok(claim) => {
                if let Creation::Created(_) = self.journal.create_stream(spec).await? {
                    claim.used();
                }
            }
            Err(Spent { limit }) => {
                let spec = StreamSpec { if_missing: IfMissing::Refuse, ..spec };
                match self.journal.create_stream(spec).await {
                    Ok(_) => {}
                    Err(CreateStreamError::Missing(stream)) => {
                        return Err(Refusal::TooManyStreams { stream, limit });
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let app = name.as_str().strip_suffix(&self.suffix).unwrap_or(name.as_str());
        let metrics = self.metrics.of_stream(name.as_str(), app);
        let stream = Arc::new(Stream::new(name, &stream.topic, State::Exists, metrics));
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(stream.topic.clone(), Arc::clone(&stream));
        Ok(stream)
    }
}

impl Stream {
    fn new(name: StreamName, topic: &str, state: State, metrics: StreamMetrics) -> Self {
        let grpc_answer = grpc_answer(name.as_str());
        Self { name, metrics, grpc_answer, topic: topic.into(), state }
    }
}

fn grpc_answer(topic: &str) -> Bytes {
    let message = weir_wire::proto::producer::ProduceResult { topic: topic.to_owned() };
    let length = prost::Message::encoded_len(&message);
    let mut out = BytesMut::with_capacity(5 + length);
    out.put_u8(0);
    out.put_u32(u32::try_from(length).expect("a stream's name has at most 249 bytes"));
    prost::Message::encode(&message, &mut out).expect("the buffer grows");
    out.freeze()
}
