//! Events that nobody waits for, in the emulator: where they are written down, and how they are listed. When and how often
//! they are delivered is [`faas_core::delivery`]'s.
//!
//! ```text
//! gateway: 202 ─▶ Courier (faas-core) ─▶ scheduler        trigger::cron ─▶ Courier
//!                   └▶ journal: one file a project
//! ```
//!
//! - [`journal`]: the file, and the thread that writes it. [`record`]: what is in it.
//! - [`list`]: what `faas events` shows.

pub mod journal;
pub mod list;
pub mod record;

use std::{sync::Arc, time::Duration};

use faas_core::delivery::{Config, Courier, Limits, Rules};

use self::journal::FileJournal;
use crate::{console::event::Event, host::Host, paths, reload::project::Project};

/// What is delivered otherwise than the profile says.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Options {
    /// How often an asynchronous event is delivered again after its function has failed with it
    #[arg(long, value_name = "N")]
    async_retries: Option<u32>,
    /// How old an asynchronous event may become, such as 90s, 10m or 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    async_max_age: Option<Duration>,
    /// Wait no longer than this before the first retry, and as much shorter before the others, such as 100ms
    #[arg(long, value_name = "TIME", value_parser = duration)]
    async_backoff: Option<Duration>,
}

impl Options {
    /// The profile's rules, but for what was said.
    fn rules(&self, profiles: Rules) -> Rules {
        let rules = self.async_backoff.map_or(profiles, |first| profiles.hastened(first));
        Rules {
            max_retries: self.async_retries.unwrap_or(rules.max_retries),
            max_age: self.async_max_age.unwrap_or(rules.max_age),
            ..rules
        }
    }
}

/// A time as one writes it: `100ms`, `90s`, `10m`, `6h`.
///
/// # Errors
/// When it is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let wrong =
        || format!("`{text}` is no time: write a whole number and a unit, as in 100ms, 90s, 10m or 2h");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let ms = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*unit_ms)).ok_or_else(wrong)?;
    Ok(Duration::from_millis(ms))
}

/// The delivery of a project's events, while it is served.
#[derive(Debug)]
pub struct Events {
    courier: Courier,
    journal: FileJournal,
}

impl Events {
    /// Delivers what the project's journal has, and what the host's gateway accepts from now on. `None` if that cannot be:
    /// then the console has been told why, and so are those who ask for it.
    pub async fn start(host: &Arc<Host>, project: &Project, options: Options) -> Option<Self> {
        match Self::open(host, project, options).await {
            Ok(events) => {
                host.gateway().deliver_by(Ok(events.courier.clone()));
                Some(events)
            }
            Err(why) => {
                let notice = format!("{why}\nUntil then nothing is invoked asynchronously or by a schedule.");
                host.console().say(Event::Notice(notice));
                host.gateway().deliver_by(Err(why));
                None
            }
        }
    }

    async fn open(host: &Arc<Host>, project: &Project, options: Options) -> Result<Self, String> {
        let file = paths::journal(project)
            .ok_or("there is no folder to write events down in: set FAAS_CACHE_DIR to one")?;
        let journal = FileJournal::open(file, host.clock()).await.map_err(|why| why.to_string())?;
        let config = Config {
            rules: options.rules(host.profile().delivery_rules()),
            limits: Limits::default(),
            seed: fastrand::Rng::new().u64(..),
        };
        let (clock, observer) = (host.clock().clone(), host.observer());
        let courier =
            Courier::start(config, host.gateway().stack(), Arc::new(journal.clone()), clock, observer);
        let courier = courier.await.map_err(|why| why.to_string())?;
        Ok(Events { courier, journal })
    }

    /// Who accepts and delivers.
    pub fn courier(&self) -> &Courier {
        &self.courier
    }

    /// Lets attempts that run end, and closes the journal. What waits stays in it.
    pub async fn stop(self) {
        self.courier.stop().await;
        self.journal.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_their_unit() {
        assert_eq!(duration("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for text in ["", "5", "ms", "1.5s", "1d", "99999999999999999999h"] {
            assert!(duration(text).is_err_and(|why| why.contains("is no time")), "{text}");
        }
    }

    #[test]
    fn what_is_said_goes_before_the_profile() {
        let profile = faas_core::profile::Profile::named("aws-lambda").expect("built in");
        let rules = profile.delivery_rules();
        assert_eq!(Options::default().rules(rules), rules);
        let options = Options {
            async_retries: Some(7),
            async_max_age: Some(Duration::from_secs(9)),
            async_backoff: Some(Duration::from_millis(100)),
        };
        let rules = options.rules(rules);
        assert_eq!((rules.max_retries, rules.max_age), (7, Duration::from_secs(9)));
        assert_eq!(rules.retry.max, Duration::from_millis(200));
    }
}
