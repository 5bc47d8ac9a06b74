//! Fakes and fault injection for tests.
