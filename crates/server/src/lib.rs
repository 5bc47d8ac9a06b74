//! The role that answers: search, tail, audit, dead letters over HTTP.
