//! From usage to dollars.
