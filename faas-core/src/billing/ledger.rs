//! Adds up what functions use.

use std::{collections::BTreeMap, sync::Arc};

use super::Quantities;

/// Quantities by function, and in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    functions: BTreeMap<Arc<str>, Quantities>,
    total: Quantities,
}

impl Ledger {
    /// Adds what one invocation of a function counts for.
    pub fn add(&mut self, function: &Arc<str>, quantities: Quantities) {
        if quantities == Quantities::default() {
            return;
        }
        match self.functions.get_mut(function) {
            Some(sum) => *sum += quantities,
            None => {
                self.functions.insert(function.clone(), quantities);
            }
        }
        self.total += quantities;
    }

    /// Takes off what turned out not to be billed.
    pub fn refund(&mut self, function: &str, quantities: Quantities) {
        if quantities == Quantities::default() {
            return; // nearly always
        }
        if let Some(sum) = self.functions.get_mut(function) {
            *sum = sum.less(quantities);
            self.total = self.total.less(quantities);
        }
    }

    /// What each function has used, by name.
    pub fn functions(&self) -> impl Iterator<Item = (&Arc<str>, &Quantities)> {
        self.functions.iter()
    }

    /// What this function has used.
    pub fn of(&self, function: &str) -> Quantities {
        self.functions.get(function).copied().unwrap_or_default()
    }

    /// What all have used.
    pub fn total(&self) -> &Quantities {
        &self.total
    }
}
