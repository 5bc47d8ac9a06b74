//! Whole-process tests: the real binary, started, loaded, killed, counted.
