//! The conformance suite over every store, and random searches that must agree with the plainest one.

mod independent;
mod memory;
mod random;
mod segment;
