//! The `#[function]` attribute.
