//! Functions that run in this process: any `tower::Service`.
