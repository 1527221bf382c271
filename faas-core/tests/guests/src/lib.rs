//! One tiny guest per behaviour: see `src/bin`.
