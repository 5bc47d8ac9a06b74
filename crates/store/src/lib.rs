//! Where events can be queried: seams, segment store, query language.
