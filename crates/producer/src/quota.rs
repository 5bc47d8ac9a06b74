//! How many streams one app may have made.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who has a stream made: an app that has a secret, or all that have none together.
///
/// It is a hash under a key of this process, so that secrets are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Owner(u64);

/// How many streams each owner has had made since the process started. There is an entry for every owner of a
/// stream that was made here, so that the journal's limit of streams bounds them.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    limit: Option<NonZeroU32>,
    made: Mutex<HashMap<Owner, u32>>,
    key: RandomState,
}

/// Leave to make one stream, which is given back unless it was [used](Self::used).
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    quota: &'a Quota,
    owner: Owner,
    used: bool,
}

/// All streams are made that the owner may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) limit: NonZeroU32,
}

impl Quota {
    pub(crate) fn new(limit: Option<NonZeroU32>) -> Self {
        Self { limit, ..Self::default() }
    }

    pub(crate) fn owner(&self, secret: &str) -> Owner {
        Owner(self.key.hash_one(secret))
    }

    pub(crate) fn claim(&self, owner: Owner) -> Result<Claim<'_>, Spent> {
        let mut all = self.made();
        let made = all.entry(owner).or_default();
        if let Some(limit) = self.limit.filter(|limit| *made >= limit.get()) {
            return Err(Spent { limit });
        }
        *made += 1;
        Ok(Claim { quota: self, owner, used: false })
    }

    fn made(&self) -> MutexGuard<'_, HashMap<Owner, u32>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim<'_> {
    /// The stream was made.
    pub(crate) fn used(mut self) {
        self.used = true;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.used {
            return;
        }
        let mut all = self.quota.made();
        if let Some(made) = all.get_mut(&self.owner) {
            *made -= 1;
            if *made == 0 {
                all.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_is_given_back() {
        let quota = Quota::new(NonZeroU32::new(2));
        let (shop, web) = (quota.owner("shop"), quota.owner("web"));
        quota.claim(shop).expect("there is room").used();
        let second = quota.claim(shop).expect("there is room");
        assert_eq!(quota.claim(shop).err(), Some(Spent { limit: NonZeroU32::new(2).expect("is two") }));
        quota.claim(web).expect("another app has its own").used();
        drop(second);
        quota.claim(shop).expect("there is room again").used();
        assert!(quota.claim(shop).is_err());
    }

    #[test]
    fn nobody_who_made_nothing_is_remembered() {
        let quota = Quota::new(None);
        for number in 0..100 {
            drop(quota.claim(quota.owner(&number.to_string())));
        }
        assert_eq!(quota.made().len(), 0);
    }
}
