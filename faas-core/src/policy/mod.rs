//! Keep-alive policies.
