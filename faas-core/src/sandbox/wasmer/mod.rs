//! Functions compiled to wasm, run by wasmer.
