//! Keeps on disk what must outlive a session, while it runs: a process that is killed loses a moment of it.
//!
//! - The session itself, for `faas bill`.
//! - What functions have cost by day, for budgets of a day or a month.
//! - What was recorded of requests, for `faas tune`.
//! - How many invocations ran today, for a provider's daily cap.
//!
//! Writes files that are whole or not there, off the async workers, and only when something has changed. Counts nothing
//! itself: that is the meter's.

use std::{sync::Arc, time::Duration};

use tokio::sync::Mutex;

use crate::{console::event::Event, error::Error, host::Host, paths, reload::project::Project};

/// How much a killed process may lose.
const EVERY: Duration = Duration::from_secs(1);

/// Keeps one session.
#[derive(Debug)]
pub struct Keeper {
    host: Arc<Host>,
    files: Arc<Mutex<Files>>,
}

/// What is kept, by one at a time.
#[derive(Debug)]
struct Files {
    host: Arc<Host>,
    project: Project,
    /// How many invocations are in what was kept last.
    kept: Option<u64>,
}

impl Keeper {
    /// A keeper of what this host serves of this project.
    ///
    /// What earlier sessions have spent is told to the host's budget, if it has one, and what ran today to the profile's daily
    /// cap.
    ///
    /// # Errors
    /// When what was kept cannot be read: a budget that knew nothing of it would be overspent.
    pub async fn new(host: Arc<Host>, project: Project) -> Result<Self, Error> {
        if host.meter().budget().is_some() {
            let of = project.clone();
            let spent = crate::commands::blocking(move || paths::spent(&of)).await?;
            host.meter().recall(spent);
        }
        if let Some(cap) = host.profile().daily_cap() {
            let of = project.clone();
            let ran = crate::commands::blocking(move || paths::ran(&of, &cap.whose)).await?;
            host.meter().recall_ran(ran.into_iter().collect());
        }
        let files = Arc::new(Mutex::new(Files { host: host.clone(), project, kept: None }));
        Ok(Keeper { host, files })
    }

    /// Keeps it whenever it has changed, for ever; an error that occurs again is told once.
    pub async fn follow(&self) -> std::convert::Infallible {
        let mut has_told = false;
        loop {
            let clock = self.host.clock();
            clock.sleep_until(clock.now() + EVERY).await;
            self.host.meter().spend_standby();
            if let Err(why) = self.keep().await
                && !has_told
            {
                has_told = true;
                self.host.console().say(Event::Notice(why.to_string()));
            }
        }
    }

    /// Keeps it now, if it has changed.
    ///
    /// # Errors
    /// When it cannot be written. What was spent, and what was recorded, is kept the next time.
    pub async fn keep(&self) -> Result<(), Error> {
        let files = self.files.clone();
        // not undone half-way when who waits is dropped, and nobody begins before it is done
        crate::commands::joined(tokio::spawn(async move { files.lock().await.keep().await })).await
    }
}

impl Files {
    async fn keep(&mut self) -> Result<(), Error> {
        let session = self.keep_session().await;
        session.and(self.keep_recordings().await)
    }

    async fn keep_recordings(&self) -> Result<(), Error> {
        let Some(recorder) = self.host.recorder() else { return Ok(()) };
        let recordings = recorder.take_unkept();
        if recordings.is_empty() {
            return Ok(());
        }
        let functions: Vec<Arc<str>> = recordings.iter().map(|(function, _)| function.clone()).collect();
        let project = self.project.clone();
        let kept = crate::commands::blocking(move || {
            recordings.iter().try_for_each(|(function, of)| paths::keep_recording(&project, function, of))
        });
        kept.await.inspect_err(|_| recorder.give_back_unkept(functions))
    }

    async fn keep_session(&mut self) -> Result<(), Error> {
        let meter = self.host.meter();
        let invocations = meter.invocations();
        if self.kept == Some(invocations) && !meter.has_standby() {
            return Ok(());
        }
        let (session, spent) = (meter.session(), meter.take_unkept());
        let (ran, whose) = (meter.take_unkept_ran(), self.host.profile().name.clone());
        let project = self.project.clone();
        let unkept = (spent.clone(), ran.clone());
        let kept = crate::commands::blocking(move || {
            let bill = paths::keep_session(&project, &session);
            let spent = paths::keep_spent(&project, &spent);
            Ok((bill, spent, paths::keep_ran(&project, &whose, &ran)))
        })
        .await;
        let (bill, spent, ran) = kept?;
        if spent.is_err() {
            meter.give_back_unkept(unkept.0);
        }
        if ran.is_err() {
            meter.give_back_unkept_ran(unkept.1);
        }
        bill.and(spent).and(ran)?;
        self.kept = Some(invocations);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, task::Poll};

    use faas_core::transition::Transition;

    use super::*;
    use crate::{
        console::{Format, tests::invoked},
        host::Setup,
        reload::project::{CargoProject, Crate},
    };

    /// Ctrl-C comes at any moment.
    #[tokio::test]
    async fn who_is_dropped_while_it_writes_is_not_in_the_way_of_who_comes_next() {
        let dir = tempfile::tempdir().expect("a folder");
        let (root, target_dir) = (dir.path().to_owned(), dir.path().join("target"));
        let crates = vec![Crate { name: "hello".into(), dir: root.clone() }];
        let project = Project::Cargo(CargoProject { root, target_dir, crates });
        let setup = Setup::new("aws-lambda", Format::Json, Box::new(std::io::sink()));
        let host = Host::new(setup).expect("a host");
        let keeper = Keeper::new(host.clone(), project.clone()).await.expect("nothing is kept yet");
        let (observer, record) = (host.observer(), invoked().record);
        let mut invocations = 0;
        for _ in 0..200 {
            let mut invoke = || {
                observer.observe(&Transition::Finished(&record));
                invocations += 1;
            };
            invoke();
            {
                let mut dropped = pin!(keeper.keep());
                poll_fn(|cx| Poll::Ready(_ = dropped.as_mut().poll(cx))).await;
            }
            invoke();
            keeper.keep().await.expect("it can be written");
            let session = paths::last_session(&project).expect("it has been");
            assert_eq!(
                session.functions["hello"].served, invocations,
                "all of them, and not those of before"
            );
        }
    }
}
