//! The store against real nodes: the conformance suite, and what it does when nodes, or what stands before them,
//! do not do as they should.

mod conformance;
mod documents;
mod fairness;
mod faults;
mod nodes;
mod refusals;
mod retention;
mod security;
mod streams;
mod world;
