//! The right to run one invocation in one instance: a guard that gives itself back.

/// Held while an invocation runs. [`Lease::release`] gives the instance back for others to use; dropping the lease
/// without it condemns the instance, because nobody can vouch for its state.
///
/// Its owner is called exactly once, whichever way it goes, so a cancelled future cannot leak a slot.
#[must_use = "dropping a lease condemns its instance"]
pub struct Lease {
    give_back: Option<Box<dyn FnOnce(bool) + Send + Sync>>,
}

impl Lease {
    /// A lease whose end calls `give_back`, with whether the instance is healthy.
    pub fn new(give_back: impl FnOnce(bool) + Send + Sync + 'static) -> Self {
        Lease { give_back: Some(Box::new(give_back)) }
    }

    /// Gives the instance back: it can serve again.
    pub fn release(mut self) {
        self.end(true);
    }

    fn end(&mut self, healthy: bool) {
        if let Some(give_back) = self.give_back.take() {
            give_back(healthy);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end(false);
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lease")
    }
}
