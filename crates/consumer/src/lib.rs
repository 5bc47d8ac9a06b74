//! The role that delivers from the journal to the stores.
