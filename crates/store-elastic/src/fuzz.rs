//! What libFuzzer is given: whatever a node answers is an answer, never a panic.

use bytes::Bytes;

use crate::client::{Answer, Bulk, Found, read_bulk, read_single};

/// Reads bytes as the answer to a bulk, to a document and to a search.
///
/// # Panics
///
/// If a verdict is not of as many documents as were sent.
pub fn answers(status: u16, documents: u8, body: &[u8]) {
    let answer = Answer { status, body: Bytes::copy_from_slice(body) };
    let documents = usize::from(documents);
    if let Bulk::Items(items) = read_bulk(&answer, documents) {
        assert_eq!(items.len(), documents, "every document has a verdict");
    }
    drop(read_single(&answer));
    drop(serde_json::from_slice::<Found>(body));
}
