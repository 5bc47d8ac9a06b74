//! The conformance suite over every store, random searches that must agree with the plainest one, and files
//! that other versions wrote.

mod damage;
mod doubt;
mod formats;
mod golden;
mod held;
mod independent;
mod joining;
mod large;
mod memory;
mod merging;
mod random;
mod retention;
mod segment;
