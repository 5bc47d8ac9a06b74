//! `producer.TimberCollection` with the map of a `Struct` written out as the repeated entries that it is on
//! the wire. prost takes a map entry under any wire type; of a repeated message it checks it, as Go does for
//! both.

use weir_wire::proto::producer::TimberContext;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Collection {
    #[prost(message, optional, tag = "1")]
    context: Option<TimberContext>,
    #[prost(message, repeated, tag = "2")]
    items: Vec<Timber>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Timber {
    #[prost(message, optional, tag = "1")]
    context: Option<TimberContext>,
    #[prost(string, tag = "2")]
    timestamp: String,
    #[prost(message, optional, tag = "3")]
    content: Option<Struct>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Struct {
    #[prost(message, repeated, tag = "1")]
    fields: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Value {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(int32, tag = "1")]
    Null(i32),
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(string, tag = "3")]
    String(String),
    #[prost(bool, tag = "4")]
    Bool(bool),
    #[prost(message, tag = "5")]
    Struct(Struct),
    #[prost(message, tag = "6")]
    List(List),
}

#[derive(Clone, PartialEq, prost::Message)]
struct List {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Value>,
}
