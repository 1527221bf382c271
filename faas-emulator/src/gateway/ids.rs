//! Request ids: 128 bits, unlike any other and unlike the last.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Makes request ids. What clients call their requests is not honoured: an id stands for one invocation.
#[derive(Debug)]
pub struct Ids {
    seeds: [u64; 2],
    next: AtomicU64,
}

impl Ids {
    /// Ids that depend on `rng`. Each is a counter, mixed twice: no lock, and no two alike.
    pub fn new(rng: &mut fastrand::Rng) -> Self {
        Ids { seeds: [rng.u64(..), rng.u64(..)], next: AtomicU64::new(rng.u64(..)) }
    }

    /// The next id: 32 hexadecimal digits.
    pub fn next(&self) -> Arc<str> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let mut digits = [0; 32];
        for (seed, half) in self.seeds.iter().zip(digits.chunks_exact_mut(16)) {
            let mut bits = mix(seed ^ n);
            for digit in half {
                *digit = b"0123456789abcdef"[(bits >> 60) as usize];
                bits <<= 4;
            }
        }
        std::str::from_utf8(&digits).expect("hexadecimal digits are ASCII").into()
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): a bijection in which every bit matters to every bit.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_follow_from_the_seed() {
        let ids = Ids::new(&mut fastrand::Rng::with_seed(7));
        let all: std::collections::HashSet<Arc<str>> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
        let again = Ids::new(&mut fastrand::Rng::with_seed(7));
        assert!(all.contains(&again.next()));
    }
}
