//! How far sources were appended through this process, which Kafka has no place for.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::{HashMap, HashMapExt as _};
use weir_model::{Mark, SourceId};

/// Sources of one generation: of those that were not appended while so many others were, the marks are forgotten.
const GENERATION: usize = 500_000;

/// The marks of at least the last [`GENERATION`] sources, and of at most twice as many.
#[derive(Debug, Default)]
pub(crate) struct Marks(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<SourceId, u64>,
    old: HashMap<SourceId, u64>,
}

impl Marks {
    pub(crate) fn set(&self, Mark { source, end }: Mark) {
        let mut generations = self.generations();
        generations.young.insert(source, end);
        if generations.young.len() >= GENERATION {
            let full = mem::replace(&mut generations.young, HashMap::new());
            generations.old = full;
        }
    }

    pub(crate) fn get(&self, source: SourceId) -> Option<u64> {
        self.generations().get(source)
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn get(&self, source: SourceId) -> Option<u64> {
        self.young.get(&source).or_else(|| self.old.get(&source)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_remembered() {
        let marks = Marks::default();
        let set = |source: usize, end| marks.set(Mark { source: SourceId(source as u128), end });
        let get = |source: usize| marks.get(SourceId(source as u128));
        set(0, 3);
        set(0, 5);
        for source in 1..GENERATION {
            set(source, 1);
        }
        assert_eq!((get(0), get(1)), (Some(5), Some(1)), "both are of the last generation");
        set(0, 6);
        for source in GENERATION..2 * GENERATION {
            set(source, 1);
        }
        assert_eq!((get(0), get(1)), (Some(6), None), "one was used since, the other was not");
    }
}
