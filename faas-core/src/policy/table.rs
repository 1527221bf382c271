//! What a policy knows of each function or app, by its number. Rows come into being when they are first asked for.

#[derive(Debug)]
pub(super) struct Rows<T>(Vec<T>);

impl<T: Default> Rows<T> {
    pub(super) const fn new() -> Self {
        Rows(Vec::new())
    }

    pub(super) fn at(&mut self, index: usize) -> &mut T {
        if self.0.len() <= index {
            self.0.resize_with(index + 1, T::default);
        }
        &mut self.0[index]
    }

    pub(super) fn get(&self, index: usize) -> Option<&T> {
        self.0.get(index)
    }

    /// Forgets a row; the number may be another's.
    pub(super) fn clear(&mut self, index: usize) {
        if let Some(row) = self.0.get_mut(index) {
            *row = T::default();
        }
    }
}
