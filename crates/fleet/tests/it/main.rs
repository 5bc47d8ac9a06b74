//! Integration tests of the fleet.

mod support;
