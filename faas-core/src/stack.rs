//! The tower stack.
