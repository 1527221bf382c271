//! Which of many requests are kept: each with the same chance, however many come, within a bound on their number and one on
//! their bytes. Pure: randomness comes in.

use super::{Recorded, Recording};

/// So many requests of a function are kept.
pub const MAX_EVENTS: usize = 100;
/// So many bytes of them together.
pub const MAX_BYTES: usize = 1 << 20;
/// So many of one; larger ones are left out.
pub const MAX_EVENT_BYTES: usize = 256 << 10;

/// A sample of one function's requests.
#[derive(Debug, Default)]
pub(super) struct Sample {
    events: Vec<Recorded>,
    bytes: usize,
    seen: u64,
    too_large: u64,
    /// How many there is room for, once bytes have run out.
    room: Option<usize>,
}

impl Sample {
    /// One more has come. It is kept, or takes the place of another, or neither.
    pub(super) fn offer(&mut self, event: Recorded, rng: &mut fastrand::Rng) {
        let bytes = event.bytes();
        if bytes > MAX_EVENT_BYTES {
            return self.leave_out();
        }
        self.seen += 1;
        let room = self.room.unwrap_or(MAX_EVENTS);
        if self.events.len() < room {
            self.events.push(event);
        } else {
            // of all that were small enough each is kept with the same chance
            let at = rng.u64(..self.seen - self.too_large);
            let Some(place) = usize::try_from(at).ok().and_then(|at| self.events.get_mut(at)) else { return };
            self.bytes -= place.bytes();
            *place = event;
        }
        self.bytes += bytes;
        while self.bytes > MAX_BYTES {
            let gone = self.events.swap_remove(rng.usize(..self.events.len()));
            self.bytes -= gone.bytes();
            self.room = Some(self.events.len());
        }
    }

    /// One more has come that is too large.
    pub(super) fn leave_out(&mut self) {
        self.seen += 1;
        self.too_large += 1;
    }

    pub(super) fn recording(&self) -> Recording {
        let mut events = self.events.clone();
        events.sort_by_key(|event| event.at);
        Recording { events, seen: self.seen, too_large: self.too_large }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use faas_core::clock::Time;
    use http::{HeaderMap, Method, Uri};
    use proptest::prelude::*;

    use super::*;

    pub(in crate::recording) fn event(ms: u64, body: impl Into<Bytes>) -> Recorded {
        Recorded {
            at: Time::EPOCH + Duration::from_millis(ms),
            method: Method::POST,
            uri: Uri::from_static("/"),
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    #[test]
    fn few_are_all_kept_in_their_order() {
        let (mut sample, mut rng) = (Sample::default(), fastrand::Rng::with_seed(1));
        for ms in [3, 1, 2] {
            sample.offer(event(ms, "x"), &mut rng);
        }
        let recording = sample.recording();
        assert_eq!((recording.seen, recording.too_large), (3, 0));
        let at: Vec<u64> = recording.events.iter().map(|event| event.at.unix_millis()).collect();
        assert_eq!(at, [1, 2, 3]);
    }

    #[test]
    fn what_is_too_large_is_counted_and_left_out() {
        let (mut sample, mut rng) = (Sample::default(), fastrand::Rng::with_seed(1));
        sample.offer(event(1, vec![0; MAX_EVENT_BYTES]), &mut rng);
        sample.offer(event(2, "x"), &mut rng);
        let recording = sample.recording();
        assert_eq!((recording.events.len(), recording.seen, recording.too_large), (1, 2, 1));
    }

    #[test]
    fn of_many_early_and_late_ones_are_kept_alike() {
        let mut early = 0;
        for seed in 0..50 {
            let (mut sample, mut rng) = (Sample::default(), fastrand::Rng::with_seed(seed));
            for ms in 0..2_000 {
                sample.offer(event(ms, ""), &mut rng);
            }
            let events = sample.recording().events;
            assert_eq!(events.len(), MAX_EVENTS);
            early += events.iter().filter(|event| event.at.unix_millis() < 1_000).count();
        }
        // half of 5,000, and ten standard deviations to either side
        assert!((2_150..2_850).contains(&early), "{early}");
    }

    proptest! {
        #[test]
        fn never_more_than_the_bounds(sizes in prop::collection::vec(0_usize..300_000, 0..150), seed: u64) {
            let (mut sample, mut rng) = (Sample::default(), fastrand::Rng::with_seed(seed));
            for (ms, size) in sizes.iter().enumerate() {
                sample.offer(event(ms as u64, vec![0; *size]), &mut rng);
                prop_assert!(sample.events.len() <= MAX_EVENTS && sample.bytes <= MAX_BYTES);
                prop_assert_eq!(sample.bytes, sample.events.iter().map(Recorded::bytes).sum::<usize>());
            }
            prop_assert_eq!(sample.seen, sizes.len() as u64);
            prop_assert_eq!(sample.events.is_empty(), sample.seen == sample.too_large);
        }
    }
}
