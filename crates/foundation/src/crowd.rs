//! How many of a kind are there at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts those who are there, by what they are called. Clones are the same.
#[derive(Debug)]
pub struct Crowd<K: Eq + Hash> {
    most: usize,
    there: Arc<Mutex<HashMap<K, usize>>>,
}

/// One who is there until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Member<K: Clone + Eq + Hash> {
    crowd: Crowd<K>,
    name: K,
}

impl<K: Clone + Eq + Hash> Crowd<K> {
    /// `most` of one name at a time.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, there: Arc::default() }
    }

    /// None if as many of this name are there as may be.
    pub fn enter(&self, name: K) -> Option<Member<K>> {
        let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        let count = there.entry(name.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Member { crowd: self.clone(), name })
    }
}

impl<K: Eq + Hash> Clone for Crowd<K> {
    fn clone(&self) -> Self {
        Self { most: self.most, there: Arc::clone(&self.there) }
    }
}

impl<K: Clone + Eq + Hash> Drop for Member<K> {
    fn drop(&mut self) {
        let mut there = self.crowd.there.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = there.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                there.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_of_a_name_are_there_at_once() {
        let crowd = Crowd::new(2);
        let first = crowd.enter("web").expect("nobody is there");
        let second = crowd.enter("web").expect("one is there");
        assert!(crowd.enter("web").is_none());
        let other = crowd.enter("db").expect("of another name");
        drop(first);
        let third = crowd.enter("web").expect("one has left");
        drop((second, third, other));
        assert!(crowd.there.lock().expect("nobody panics").is_empty(), "nobody is remembered");
    }
}
