//! Answers of Elasticsearch: every document has a verdict, whatever the body says. The first bytes are the status and
//! how many documents were sent.

pub fn run(data: &[u8]) {
    if let [high, low, documents, body @ ..] = data {
        weir_store_elastic::fuzz::answers(u16::from_be_bytes([*high, *low]), *documents, body);
    }
}
