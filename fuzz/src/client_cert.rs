//! What proxies say of the certificates of clients: the first line is `Client-Cert`, the others are `Client-Cert-Chain`.

use http::{HeaderMap, HeaderValue};
use weir_foundation::http::Forwarded;

pub fn run(data: &[u8]) {
    let mut headers = HeaderMap::new();
    let names = std::iter::once("client-cert").chain(std::iter::repeat("client-cert-chain"));
    for (name, line) in names.zip(data.split(|byte| *byte == b'\n')) {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(name, value);
    }
    let Ok(read) = Forwarded::read(&headers) else { return };
    assert!(!read.certificate.is_empty() && read.chain.iter().all(|der| !der.is_empty()));
    assert!(read.chain.len() <= 8);
    let held: usize = read.certificate.len() + read.chain.iter().map(|der| der.len()).sum::<usize>();
    assert!(held < data.len());
    // Of two that speak of one client none is chosen.
    headers.append("client-cert", HeaderValue::from_static(""));
    assert!(Forwarded::read(&headers).is_err());
}
