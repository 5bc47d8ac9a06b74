//! Access keys: the one text that a node needs to join an instance.
//!
//! `weirk1.` and base64url without padding of
//!
//! ```text
//! id       1 byte length, text
//! secret   1 byte length, text
//! enrol    1 byte count, each 1 byte length, text
//! pins     1 byte count, each 32 bytes
//! seal     1 byte, 0 or 1; with 1 another 32 bytes
//! checksum 4 bytes, CRC-32C of all bytes before it, big-endian
//! ```
//!
//! The checksum is for keys that lost something when they were copied: it finds every change of up to five characters
//! in a row. It keeps nobody from making a key; the secret does.

mod payload;

use std::fmt;
use std::str::FromStr;

use weir_foundation::settings::Secret;
use weir_model::IllegalName;

use crate::pki::Pin;
use crate::seal::SealPublic;
use crate::{random, text};

/// What a node needs to join. Whoever has it can join: it is shown once, and `Debug` shows id and addresses only.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Where to join, `host:port` each: at most 16 with at most 255 bytes.
    pub enrol: Vec<String>,
    pub id: KeyId,
    /// At most 255 bytes.
    pub secret: Secret,
    /// Of the roots of the instance: at most 16.
    pub pins: Vec<Pin>,
    /// With what to seal payloads, if they are to be sealed.
    pub seal: Option<SealPublic>,
}

/// By what operators call an access key: 1 to 64 characters of `a-z 0-9`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Box<str>);

/// A text that is no access key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessKeyError {
    #[error("it is not an access key: they begin with `weirk1.`")]
    Other,
    #[error("the access key is damaged: a part of it was lost or changed when it was copied")]
    Damaged,
    #[error("the access key is of a newer weir (version {version}, this one knows version 1)")]
    Newer { version: u32 },
}

/// An access key with more than its text can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an access key can not have so many or so long {0}")]
pub struct TooMuch(&'static str);

const MARK: &str = "weirk";
const VERSION: u32 = 1;
const LONGEST_ID: usize = 64;

/// A text that is longer is none: the largest key has 6 631 characters.
const LONGEST: usize = 8 << 10;

impl AccessKey {
    /// The text for the node.
    pub fn encode(&self) -> Result<Secret, TooMuch> {
        let payload = payload::encode(self)?;
        Ok(Secret::new(format!("{MARK}{VERSION}.{}", text::base64(&payload))))
    }
}

/// Spaces and line ends around it do no harm.
impl FromStr for AccessKey {
    type Err = AccessKeyError;

    fn from_str(text: &str) -> Result<Self, AccessKeyError> {
        let rest = text.trim().strip_prefix(MARK).ok_or(AccessKeyError::Other)?;
        let (version, payload) = rest.split_once('.').ok_or(AccessKeyError::Other)?;
        match self::version(version).ok_or(AccessKeyError::Other)? {
            VERSION => {}
            version => return Err(AccessKeyError::Newer { version }),
        }
        if payload.len() > LONGEST {
            return Err(AccessKeyError::Damaged);
        }
        let payload = text::from_base64(payload).ok_or(AccessKeyError::Damaged)?;
        payload::decode(&payload).ok_or(AccessKeyError::Damaged)
    }
}

/// Digits, the first of them no zero.
fn version(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if digits { text.parse().ok() } else { None }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { enrol, id, .. } = self;
        f.debug_struct("AccessKey").field("id", id).field("enrol", enrol).finish_non_exhaustive()
    }
}

impl KeyId {
    pub fn new(id: &str) -> Result<Self, IllegalName> {
        let length = id.chars().count();
        if length == 0 {
            return Err(IllegalName::Empty);
        }
        if length > LONGEST_ID {
            return Err(IllegalName::TooLong { length, limit: LONGEST_ID });
        }
        match id.chars().enumerate().find(|(_, c)| !c.is_ascii_lowercase() && !c.is_ascii_digit()) {
            Some((position, character)) => Err(IllegalName::BadCharacter { character, position }),
            None => Ok(Self(id.into())),
        }
    }

    /// 16 hexadecimal digits.
    #[must_use]
    pub fn random() -> Self {
        Self(text::hex(&*random::bytes::<8>()).into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = IllegalName;

    fn from_str(text: &str) -> Result<Self, IllegalName> {
        Self::new(text)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

#[cfg(test)]
mod tests;
