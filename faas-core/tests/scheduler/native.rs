//! The scheduler over native functions: limits, panics, streaming.
