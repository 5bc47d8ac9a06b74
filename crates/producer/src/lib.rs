//! The role that accepts events, limits them and makes them durable.
