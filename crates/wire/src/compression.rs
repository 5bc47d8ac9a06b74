//! gzip (RFC 1952) and zstd (RFC 8878) with a limit, so that a small body can not become a large one.

use std::io::{self, Read};

use flate2::Compression;
use flate2::read::{GzEncoder, MultiGzDecoder};

/// How a body is compressed; the text form is that of the headers `Content-Encoding` and `grpc-encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    #[error("the body has more than {limit} bytes when decompressed")]
    TooLarge { limit: usize },
    #[error("the body is cut off: its {encoding} data does not end")]
    Truncated { encoding: Encoding },
    #[error("the body is no valid {encoding} data")]
    Corrupt { encoding: Encoding, source: io::Error },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown encoding `{0}`; known are `gzip`, `zstd` and `identity`")]
pub struct UnknownEncoding(pub String);

/// A frame that needs a larger window (2^23 bytes) is refused: this is what every decoder is asked to
/// support (RFC 8878 section 3.1.1.1.2), and more would let a few bytes claim a lot of memory.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Decompresses a whole body; members and frames that follow one another are one body. Never holds much
/// more than `limit` bytes, however much the body would become.
pub fn decompress(encoding: Encoding, body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    if encoding != Encoding::Identity && body.is_empty() {
        return Err(DecompressError::Truncated { encoding });
    }
    let result = match encoding {
        Encoding::Identity => read_all(body, body.len(), limit),
        Encoding::Gzip => read_all(MultiGzDecoder::new(body), body.len(), limit),
        Encoding::Zstd => zstd_decoder(body).and_then(|decoder| read_all(decoder, body.len(), limit)),
    };
    match result {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(DecompressError::TooLarge { limit }),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(DecompressError::Truncated { encoding })
        }
        Err(source) => Err(DecompressError::Corrupt { encoding, source }),
    }
}

fn zstd_decoder(body: &[u8]) -> io::Result<zstd::Decoder<'static, &[u8]>> {
    let mut decoder = zstd::Decoder::with_buffer(body)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

/// Bytes to make room for at the least.
const STEP: usize = 4096;

/// `None` if there are more than `limit` bytes. Never has room for more than one beyond them.
fn read_all(mut reader: impl Read, compressed: usize, limit: usize) -> io::Result<Option<Vec<u8>>> {
    // One byte more tells that there is more.
    let most = limit.saturating_add(1);
    let mut bytes = Vec::with_capacity(compressed.saturating_mul(4).min(most));
    loop {
        if bytes.len() == bytes.capacity() {
            bytes.reserve_exact(bytes.len().max(STEP).min(most - bytes.len()));
        }
        let room = bytes.capacity().min(most) - bytes.len();
        let read = reader.by_ref().take(room as u64).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Ok(None);
        }
        if read < room {
            bytes.shrink_to_fit();
            return Ok(Some(bytes));
        }
    }
}

/// Compresses a body, fast rather than small.
pub fn compress(encoding: Encoding, body: &[u8]) -> io::Result<Vec<u8>> {
    match encoding {
        Encoding::Identity => Ok(body.to_vec()),
        Encoding::Gzip => {
            let mut out = Vec::with_capacity(body.len() / 4);
            GzEncoder::new(body, Compression::fast()).read_to_end(&mut out)?;
            Ok(out)
        }
        Encoding::Zstd => zstd::bulk::compress(body, 1),
    }
}

impl Encoding {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// As in HTTP: case does not matter, `x-gzip` is `gzip`, nothing is `identity`.
impl std::str::FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(UnknownEncoding(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests;
