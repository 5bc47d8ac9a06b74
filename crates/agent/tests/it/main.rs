//! The role as a whole: real files on one side, a door that keeps to the protocol on the other.

mod bad;
mod docs;
mod door;
mod finding;
mod inputs;
mod node;
mod process;
mod spool;
