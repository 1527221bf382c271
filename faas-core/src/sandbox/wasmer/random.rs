//! A guest's randomness: a stream that the runtime's seed and the instance's number determine.

/// See the module. Deriving the stream costs more than starting an instance does, and many never ask for it: it
/// happens at the first draw.
pub(super) struct Random {
    seed: [u8; 32],
    instance: u64,
    stream: Option<blake3::OutputReader>,
}

impl Random {
    pub(super) fn new(seed: [u8; 32], instance: u64) -> Self {
        Random { seed, instance, stream: None }
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        let (seed, instance) = (&self.seed, self.instance);
        let stream = self.stream.get_or_insert_with(|| {
            blake3::Hasher::new_keyed(seed).update(&instance.to_le_bytes()).finalize_xof()
        });
        stream.fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(seed: u8, instance: u64) -> [[u8; 16]; 2] {
        let mut random = Random::new([seed; 32], instance);
        std::array::from_fn(|_| {
            let mut bytes = [0; 16];
            random.fill(&mut bytes);
            bytes
        })
    }

    #[test]
    fn seed_and_instance_determine_it_and_nothing_repeats() {
        assert_eq!(draw(1, 1), draw(1, 1));
        let all = [draw(1, 1), draw(1, 2), draw(2, 1)].concat();
        assert!((1..all.len()).all(|i| !all[..i].contains(&all[i])), "{all:?}");
    }
}
