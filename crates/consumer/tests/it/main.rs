//! Delivery over the in-memory journal and stores, with faults and deaths at every step.

mod audit;
mod crash;
mod embedded;
mod faults;
mod life;
mod losses;
mod several;
mod world;
