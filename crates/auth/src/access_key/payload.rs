//! The bytes of an access key. Each key has one form, and no other bytes are one.

use weir_foundation::settings::Secret;
use zeroize::Zeroizing;

use super::{AccessKey, KeyId, TooMuch};
use crate::pki::Pin;
use crate::seal::SealPublic;

/// Addresses and pins each.
const MOST: usize = 16;

const CHECKSUM: usize = 4;

pub(super) fn encode(key: &AccessKey) -> Result<Zeroizing<Vec<u8>>, TooMuch> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(1 << 10));
    put_text(&mut bytes, key.id.as_str(), "characters in its id")?;
    put_text(&mut bytes, key.secret.reveal(), "characters in its secret")?;
    put_count(&mut bytes, key.enrol.len(), "addresses")?;
    for address in &key.enrol {
        put_text(&mut bytes, address, "characters in an address")?;
    }
    put_count(&mut bytes, key.pins.len(), "pins")?;
    for pin in &key.pins {
        bytes.extend_from_slice(pin.as_bytes());
    }
    match &key.seal {
        None => bytes.push(0),
        Some(public) => {
            bytes.push(1);
            bytes.extend_from_slice(public.as_bytes());
        }
    }
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_be_bytes());
    Ok(bytes)
}

pub(super) fn decode(bytes: &[u8]) -> Option<AccessKey> {
    let (mut rest, checksum) = bytes.split_last_chunk::<CHECKSUM>()?;
    if crc32c::crc32c(rest) != u32::from_be_bytes(*checksum) {
        return None;
    }
    let rest = &mut rest;
    let id = KeyId::new(take_text(rest)?).ok()?;
    let secret = Secret::new(take_text(rest)?);
    let enrol = (0..take_count(rest)?).map(|_| take_text(rest).map(str::to_owned)).collect::<Option<_>>()?;
    let pins = (0..take_count(rest)?).map(|_| take(rest).map(Pin::from_bytes)).collect::<Option<_>>()?;
    let seal = match take(rest)? {
        [0] => None,
        [1] => Some(SealPublic::from(take::<32>(rest)?)),
        _ => return None,
    };
    rest.is_empty().then_some(AccessKey { enrol, id, secret, pins, seal })
}

fn put_text(bytes: &mut Vec<u8>, text: &str, what: &'static str) -> Result<(), TooMuch> {
    bytes.push(u8::try_from(text.len()).map_err(|_too_large| TooMuch(what))?);
    bytes.extend_from_slice(text.as_bytes());
    Ok(())
}

fn put_count(bytes: &mut Vec<u8>, count: usize, what: &'static str) -> Result<(), TooMuch> {
    if count > MOST {
        return Err(TooMuch(what));
    }
    bytes.push(u8::try_from(count).map_err(|_too_large| TooMuch(what))?);
    Ok(())
}

fn take<const LENGTH: usize>(rest: &mut &[u8]) -> Option<[u8; LENGTH]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let [length] = take(rest)?;
    let (text, left) = rest.split_at_checked(length.into())?;
    *rest = left;
    str::from_utf8(text).ok()
}

fn take_count(rest: &mut &[u8]) -> Option<usize> {
    let [count] = take(rest)?;
    Some(usize::from(count)).filter(|count| *count <= MOST)
}
