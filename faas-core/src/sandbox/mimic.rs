//! A sandbox whose cold starts are as slow as a provider's.
//!
//! It decorates any other: the platform's part is waited before the real start, init's after it, both by the injected
//! clock, and both are marked as [`Injected`], apart from what was measured. It makes nothing
//! quicker: the real start comes on top.
//!
//! Who wants to be as slow as a provider also wants init to run at each start, as it does there: give the inner sandbox
//! [`Starts::Plain`](super::wasmer::Starts::Plain).

use std::{fmt, sync::Arc};

use parking_lot::Mutex;

use super::{Sandbox, Started};
use crate::{
    clock::{BoxFuture, SharedClock},
    invocation::{ErrorKind, FunctionSpec, Injected, InvocationError},
    profile::Profile,
};

/// Which of a provider's starts are injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColdStarts {
    /// The median, each time.
    Typical,
    /// One that 99 of 100 are quicker than, each time.
    P99,
    /// Drawn from the distribution. The same seed gives a function's generation the same starts, in the same order, whatever
    /// others do meanwhile.
    Real {
        /// What is drawn from.
        seed: u64,
    },
}

/// A sandbox that is as slow to start as a profile's provider.
pub struct Mimic {
    inner: Arc<dyn Sandbox>,
    spec: Arc<FunctionSpec>,
    profile: Arc<Profile>,
    clock: SharedClock,
    quantiles: Mutex<Quantiles>,
}

impl Mimic {
    /// The same function, whose starts take what this profile's provider takes.
    pub fn new(
        inner: Arc<dyn Sandbox>,
        spec: Arc<FunctionSpec>,
        profile: Arc<Profile>,
        starts: ColdStarts,
        clock: SharedClock,
    ) -> Self {
        let quantiles = Mutex::new(Quantiles::new(starts, &spec));
        Mimic { inner, spec, profile, clock, quantiles }
    }
}

impl fmt::Debug for Mimic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mimic").field(&self.inner).finish()
    }
}

impl Sandbox for Mimic {
    fn start(&self) -> BoxFuture<'static, Result<Started, InvocationError>> {
        let quantile = self.quantiles.lock().next();
        let injected = self.profile.cold_start(self.spec.memory_mib, quantile);
        let (inner, spec, clock) = (self.inner.clone(), self.spec.clone(), self.clock.clone());
        Box::pin(async move {
            let began = clock.now();
            clock.sleep_until(began + injected.platform).await;
            let mut started = inner.start().await?;
            // as long as init may take there, it may take here: ours and theirs together
            let init = started.init.wall + injected.init;
            if init > spec.init_timeout {
                return Err(too_slow(&spec, &injected));
            }
            // by then, and not for so long: timers that are late do not add up
            clock.sleep_until(began + injected.start() + started.init.wall).await;
            started.init.injected = injected;
            Ok(started)
        })
    }

    // `start_at_once` stays what it is for most: no start of a provider's takes no time
}

fn too_slow(spec: &FunctionSpec, injected: &Injected) -> InvocationError {
    let message = format!(
        "an instance of function `{}` could not be started: with the {} ms that the provider's init takes it took longer \
         than its init timeout of {} ms",
        spec.name,
        injected.init.as_millis(),
        spec.init_timeout.as_millis()
    );
    InvocationError::new(ErrorKind::InitFailed, message)
}

/// One start after the other, as shares of all starts that are quicker.
#[derive(Debug)]
enum Quantiles {
    Always(f64),
    Drawn(fastrand::Rng),
}

impl Quantiles {
    fn new(starts: ColdStarts, spec: &FunctionSpec) -> Self {
        match starts {
            ColdStarts::Typical => Quantiles::Always(0.5),
            ColdStarts::P99 => Quantiles::Always(0.99),
            ColdStarts::Real { seed } => {
                // a stream for each: FNV-1a of its name and generation
                let bytes = spec.name.bytes().chain(spec.generation.to_le_bytes());
                let of = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
                });
                Quantiles::Drawn(fastrand::Rng::with_seed(seed ^ of))
            }
        }
    }

    fn next(&mut self) -> f64 {
        match self {
            Quantiles::Always(quantile) => *quantile,
            Quantiles::Drawn(rng) => rng.f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::Ordering::SeqCst, time::Duration};

    use super::*;
    use crate::{
        clock::{Clock as _, Time, VirtualClock},
        sandbox::scripted::Scripted,
    };

    fn mimic(clock: &VirtualClock, spec: FunctionSpec, starts: ColdStarts) -> (Mimic, Scripted) {
        let shared: SharedClock = Arc::new(clock.clone());
        let inner = Scripted::new(shared.clone(), Duration::from_millis(5), Duration::ZERO, "");
        let profile = Arc::new(Profile::named("aws-lambda").expect("built in"));
        (Mimic::new(Arc::new(inner.clone()), Arc::new(spec), profile, starts, shared), inner)
    }

    /// Starts until its end, in virtual time; how long that took.
    async fn start(clock: &VirtualClock, mimic: &Mimic) -> (Result<Injected, InvocationError>, Duration) {
        let began = clock.now();
        let started = tokio::spawn(mimic.start());
        while !started.is_finished() {
            VirtualClock::settle().await;
            if !started.is_finished() {
                assert!(clock.step(), "it sleeps");
            }
        }
        let result = started.await.expect("it does not panic").map(|started| started.init.injected);
        (result, clock.now().since(began))
    }

    #[tokio::test]
    async fn a_start_takes_the_providers_time_and_ours() {
        let clock = VirtualClock::starting_at(Time::EPOCH);
        for (starts, expected_ms) in [(ColdStarts::Typical, (432.0, 16.0)), (ColdStarts::P99, (620.9, 51.1))]
        {
            let (mimic, inner) = mimic(&clock, FunctionSpec::new("f"), starts);
            assert!(mimic.start_at_once().is_none());
            let (injected, took) = start(&clock, &mimic).await;
            let injected = injected.expect("starts");
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            assert_eq!((ms(injected.platform), ms(injected.init)), expected_ms);
            assert_eq!(took, injected.start() + Duration::from_millis(5));
            assert_eq!(inner.counts().starts.load(SeqCst), 1);
        }
    }

    #[tokio::test]
    async fn the_seed_decides_and_each_generation_has_a_stream_of_its_own() {
        let clock = VirtualClock::starting_at(Time::EPOCH);
        let drawn = async |name: &str, generation, seed| {
            let spec = FunctionSpec { generation, ..FunctionSpec::new(name) };
            let (mimic, _) = mimic(&clock, spec, ColdStarts::Real { seed });
            let mut starts = Vec::new();
            for _ in 0..20 {
                starts.push(start(&clock, &mimic).await.0.expect("starts"));
            }
            starts
        };
        let first = drawn("f", 1, 7).await;
        assert!(first.windows(2).any(|pair| pair[0] != pair[1]), "they vary");
        assert_eq!(drawn("f", 1, 7).await, first);
        for (name, generation, seed) in [("f", 1, 8), ("f", 2, 7), ("g", 1, 7)] {
            assert_ne!(drawn(name, generation, seed).await, first);
        }
    }

    #[tokio::test]
    async fn init_has_no_more_time_than_it_has_there() {
        let clock = VirtualClock::starting_at(Time::EPOCH);
        let spec = FunctionSpec { init_timeout: Duration::from_millis(20), ..FunctionSpec::new("f") };
        let (mimic, _) = mimic(&clock, spec, ColdStarts::Typical);
        let error = start(&clock, &mimic).await.0.expect_err("16 ms of theirs and 5 of ours");
        assert_eq!(error.kind, ErrorKind::InitFailed);
        insta::assert_snapshot!(error, @"an instance of function `f` could not be started: with the 16 ms that the provider's init takes it took longer than its init timeout of 20 ms");
    }

    #[tokio::test]
    async fn a_start_that_is_given_up_starts_nothing() {
        let clock = VirtualClock::starting_at(Time::EPOCH);
        let (mimic, inner) = mimic(&clock, FunctionSpec::new("f"), ColdStarts::Typical);
        let starting = tokio::spawn(mimic.start());
        VirtualClock::settle().await;
        starting.abort();
        clock.run(Duration::from_secs(1)).await;
        assert_eq!(inner.counts().starts.load(SeqCst), 0);
        assert_eq!(clock.next_wake(), None);
    }
}
