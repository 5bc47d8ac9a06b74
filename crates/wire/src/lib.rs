//! Bytes to model and back: protobuf, record formats, REST JSON.
