//! Dead letters over the in-memory journal: the suite of their seam, and what only a stream can do.

#![allow(clippy::expect_used, reason = "tests")]

mod fleet;
mod suite;
