//! What a simulation counts: starts, delays and memory. Whole numbers throughout, so that sums do not depend
//! on their order.

/// Steps to a doubling: a bucket is 1.6 % wide.
const STEPS: u32 = 64;
const BUCKETS: usize = (64 - 6 + 1) * STEPS as usize;

/// Times by their length, to within 1.6 %.
#[derive(Debug, Clone, Default)]
pub(super) struct Histogram {
    zeros: u64,
    /// Empty until something is not zero.
    buckets: Vec<u64>,
    longest: u64,
}

impl Histogram {
    pub(super) fn count(&self) -> u64 {
        self.zeros + self.buckets.iter().sum::<u64>()
    }

    pub(super) fn add_zeros(&mut self, count: u64) {
        self.zeros += count;
    }

    pub(super) fn add(&mut self, ns: u64) {
        if ns == 0 {
            self.zeros += 1;
            return;
        }
        if self.buckets.is_empty() {
            self.buckets = vec![0; BUCKETS];
        }
        self.buckets[bucket(ns)] += 1;
        self.longest = self.longest.max(ns);
    }

    pub(super) fn merge(&mut self, other: &Histogram) {
        self.zeros += other.zeros;
        self.longest = self.longest.max(other.longest);
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
        } else {
            for (sum, count) in self.buckets.iter_mut().zip(&other.buckets) {
                *sum += count;
            }
        }
    }

    /// The shortest time that `percent` of all do not exceed, in nanoseconds: the upper end of its bucket.
    pub(super) fn percentile_ns(&self, percent: u64) -> u64 {
        let rank = (u128::from(self.count()) * u128::from(percent)).div_ceil(100);
        let mut seen = u128::from(self.zeros);
        if rank <= seen {
            return 0;
        }
        for (n, count) in self.buckets.iter().enumerate() {
            seen += u128::from(*count);
            if rank <= seen {
                return upper_end(n).min(self.longest);
            }
        }
        0
    }
}

/// Below 64 each has its own; above, 64 to a doubling.
fn bucket(ns: u64) -> usize {
    let shift = (63 - ns.leading_zeros()).saturating_sub(6);
    (shift * STEPS) as usize + (ns >> shift) as usize
}

fn upper_end(bucket: usize) -> u64 {
    if bucket < 2 * STEPS as usize {
        return bucket as u64;
    }
    let shift = bucket as u32 / STEPS - 1;
    let top = u64::from(bucket as u32 % STEPS + STEPS);
    (top << shift) + ((1 << shift) - 1)
}

/// What one engine has counted, or several together.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted {
    pub(super) cold_starts: u64,
    /// Of those.
    pub(super) rescued: u64,
    pub(super) refused: u64,
    pub(super) instances_started: u64,
    /// Memory that was loaded and served nobody: MiB times nanoseconds.
    pub(super) idle_mib_ns: u128,
    /// How long invocations that did not run at once waited.
    pub(super) delays: Histogram,
}

impl Counted {
    pub(super) fn merge(&mut self, other: &Counted) {
        self.cold_starts += other.cold_starts;
        self.rescued += other.rescued;
        self.refused += other.refused;
        self.instances_started += other.instances_started;
        self.idle_mib_ns += other.idle_mib_ns;
        self.delays.merge(&other.delays);
    }
}

/// The value that `percent` of the sorted ones do not exceed: the nearest rank.
pub(super) fn nearest_rank(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_holds_what_is_at_most_a_sixtieth_shorter(ns in 1_u64..) {
            let end = upper_end(bucket(ns));
            prop_assert!(end >= ns && end - ns <= ns / 60, "{ns} is told as {end}");
        }
    }

    #[test]
    fn percentiles_count_those_that_did_not_wait() {
        let mut delays = Histogram::default();
        delays.add_zeros(98);
        delays.add(5_000);
        delays.add(50);
        assert_eq!([50, 98, 99, 100].map(|percent| delays.percentile_ns(percent)), [0, 0, 50, 5_000]);
        assert_eq!(Histogram::default().percentile_ns(99), 0);
    }

    #[test]
    fn the_nearest_rank_is_a_value_that_is_there() {
        let values = [0.1, 0.2, 0.3, 0.4];
        assert_eq!([1, 50, 75, 76, 100].map(|p| nearest_rank(&values, p)), [0.1, 0.2, 0.3, 0.4, 0.4]);
        assert_eq!(nearest_rank(&[], 50), 0.0);
    }
}
