//! The scheduler: admission, queue and warm pool behind one `tower::Service`.
