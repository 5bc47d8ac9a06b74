//! Chance that can be repeated.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Random numbers of a seed that is printed, or that `WEIR_SEED` gives.
pub fn rng() -> ChaCha8Rng {
    let seed = std::env::var("WEIR_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    eprintln!("seed {seed} (set WEIR_SEED to repeat)");
    ChaCha8Rng::seed_from_u64(seed)
}
