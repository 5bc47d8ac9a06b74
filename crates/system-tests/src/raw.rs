//! Batches by their bytes, through the gRPC door: what no generated type can express, and what is encoded once
//! to be sent many times.

use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use weir_wire::proto::producer::{ProduceResult, TimberContext};

/// A connection to the gRPC door. Clones share it.
#[derive(Debug, Clone)]
pub struct RawClient {
    channel: Channel,
}

impl RawClient {
    pub async fn connect(address: SocketAddr) -> Self {
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address is a URI");
        Self { channel: endpoint.connect().await.expect("the door is open") }
    }

    /// Sends the bytes of a `TimberCollection`; answers with the name of the stream.
    pub async fn produce_batch(&self, batch: Bytes) -> Result<String, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        let ready = grpc.ready().await;
        ready.map_err(|error| Status::new(Code::Unavailable, error.to_string()))?;
        let path = PathAndQuery::from_static("/producer.Producer/ProduceBatch");
        let answer = grpc.unary(Request::new(batch), path, Verbatim).await?;
        Ok(answer.into_inner().topic)
    }
}

/// The bytes of a `TimberCollection` of the app, with the bytes of a `Timber` for each item.
pub fn collection<'a>(app: &str, timbers: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let context = TimberContext {
        kafka_topic: app.to_owned(),
        kafka_partition: 4,
        es_index_prefix: app.to_owned(),
        app_max_tps: i32::MAX,
        ..TimberContext::default()
    };
    let mut batch = field(1, &context.encode_to_vec());
    for timber in timbers {
        batch.extend(field(2, timber));
    }
    batch.into()
}

/// A length-delimited field of a protobuf message.
pub fn field(number: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 8);
    encode_key(number, WireType::LengthDelimited, &mut bytes);
    encode_varint(value.len() as u64, &mut bytes);
    bytes.extend_from_slice(value);
    bytes
}

/// Requests are bytes, sent as they are.
struct Verbatim;

impl Codec for Verbatim {
    type Encode = Bytes;
    type Decode = ProduceResult;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Verbatim {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.reserve(item.len());
        target.put(item);
        Ok(())
    }
}

impl Decoder for Verbatim {
    type Item = ProduceResult;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<ProduceResult>, Status> {
        let answer = ProduceResult::decode(source.copy_to_bytes(source.remaining()));
        answer.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
