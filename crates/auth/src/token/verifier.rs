use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::body::{Body, Header};
use super::key::{TYPE, VerifyingKey};
use super::{Claims, Expectation, TokenError, provider};
use crate::text;

/// Knows the public keys of those whose tokens are taken, by their ids.
pub struct Verifier {
    keys: BTreeMap<String, DecodingKey>,
    validation: Validation,
}

/// Ours have 500 bytes, and less than a thousand with the longest names.
const LONGEST: usize = 4 << 10;

/// Characters of the name of an algorithm that are shown to whoever reads the error.
const SHOWN: usize = 16;

impl Verifier {
    #[must_use]
    pub fn new(keys: &[VerifyingKey]) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        // The library would ask the machine for the time; and it does not tell who the issuer should have been.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let keys = keys.iter().map(|key| (key.id().to_owned(), key.to_decoding_key())).collect();
        Self { keys, validation }
    }

    /// What the token says, if it is good for this now. Nothing is told about a token whose signature is wrong, and the
    /// first thing is told that is wrong with it.
    pub fn verify(&self, token: &str, expect: &Expectation, now: SystemTime) -> Result<Claims, TokenError> {
        let claims = self.signed(token)?;
        if claims.issuer != expect.issuer {
            return Err(TokenError::WrongIssuer);
        }
        if !claims.audiences.contains(&expect.audience) {
            return Err(TokenError::WrongAudience);
        }
        if expect.certificate.is_some_and(|shown| shown != claims.certificate) {
            return Err(TokenError::WrongCertificate);
        }
        let ahead = since(claims.issued, now);
        if ahead > expect.leeway {
            return Err(TokenError::NotYet { ahead });
        }
        match now.duration_since(claims.expires) {
            Ok(ago) if ago >= expect.leeway => Err(TokenError::Expired { ago }),
            Ok(_) | Err(_) => Ok(claims),
        }
    }

    fn signed(&self, token: &str) -> Result<Claims, TokenError> {
        provider::install();
        if token.len() > LONGEST {
            return Err(TokenError::Malformed);
        }
        let header = header(token).ok_or(TokenError::Malformed)?;
        if header.alg != "EdDSA" {
            return Err(TokenError::WrongAlgorithm(header.alg.chars().take(SHOWN).collect()));
        }
        if header.typ.as_deref() != Some(TYPE) {
            return Err(TokenError::Malformed);
        }
        let key = header.kid.and_then(|id| self.keys.get(&id)).ok_or(TokenError::UnknownKey)?;
        let body = jsonwebtoken::decode::<Body>(token, key, &self.validation);
        let body = body.map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => TokenError::BadSignature,
            _ => TokenError::Malformed,
        })?;
        body.claims.claims().ok_or(TokenError::Malformed)
    }
}

/// Of what has three parts.
fn header(token: &str) -> Option<Header> {
    let mut parts = token.split('.');
    let (header, _, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    serde_json::from_slice(&text::from_base64(header)?).ok()
}

/// Nothing if `later` is not.
fn since(later: SystemTime, earlier: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}

/// Shows the ids of the keys.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verifier").field(&self.keys.keys().collect::<Vec<_>>()).finish()
    }
}
