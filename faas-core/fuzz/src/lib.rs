//! What is fuzzed, apart from who drives it: libFuzzer drives it through `fuzz_targets`, and proptest for some seconds
//! in `tests/sandbox/fuzzing.rs`, which takes these files by path.
//!
//! - [`calls`]: arbitrary sequences of host calls, with arbitrary pointers, lengths and envelopes.
//! - [`modules`]: arbitrary module bytes, loaded, started and invoked once.
//! - [`bench`]: the host that both run on.

pub mod bench;
pub mod calls;
pub mod modules;
