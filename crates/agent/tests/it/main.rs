//! The role as a whole: real files on one side, a door that keeps to the protocol on the other.

mod door;
mod inputs;
mod node;
mod process;
