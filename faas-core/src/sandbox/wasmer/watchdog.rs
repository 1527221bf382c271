//! Stops guests that run past their deadline.
//!
//! A guest holds its thread while it runs, so nobody but another thread can stop it. Each poll of a guest is
//! entered here and left when it returns; one thread looks at what is entered every millisecond and at each deadline, parks
//! when nothing is, and stops what is overdue in two steps:
//!
//! 1. it raises the guest's [`Alarm`], which every import checks: a guest that calls its host ends there;
//! 2. if it has computed on since, or holds a worker, it interrupts the guest by a signal (wasmer's host interrupt), and
//!    again and again, in quicker ticks, until the guest has left, because a signal that meets the guest outside its own
//!    code is ignored.
//!
//! The first step spares the second where it would be dangerous: see [`super::interrupt`]. And where it might take long: wasmer looks
//! the guest up under a lock that each call of an import takes too, and who waits for a processor may hold it.
//!
//! And it tells [`super::workers`] which guests hold an async worker for longer than a tick.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use wasmer::Interrupter;

use super::{Pace, compute, cpu::ThreadCpu, promptness, workers::Workers};
use crate::clock::{SharedClock, Time};

const TICK: Duration = Duration::from_millis(1);
// long enough for a guest that talks to its host to come to its next import
const TICK_AFTER_ALARM: Duration = Duration::from_micros(200);
// a guest that talks to its host has come to an import in so much CPU time
const COMPUTES_ON: Duration = Duration::from_micros(50);
// a guest that fills memory in a loop is in its own code for a hundredth of the time
const TICK_WHILE_INTERRUPTING: Duration = Duration::from_micros(50);
// a watchdog that parks at once would be woken by a system call at nearly every poll
const IDLE_TICKS_BEFORE_PARKING: u32 = 50;

/// Why a guest was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The wall-clock deadline passed.
    Wall,
    /// The CPU budget is used up.
    Cpu,
}

/// Shared by a guest and the watchdog: whether the guest must stop, and why.
#[derive(Debug, Default)]
pub(super) struct Alarm(AtomicU8);

impl Alarm {
    fn raise(&self, why: Overdue) {
        self.0.store(if why == Overdue::Wall { 1 } else { 2 }, Ordering::Release);
    }

    /// Why the guest must stop, if it must.
    pub(super) fn raised(&self) -> Option<Overdue> {
        match self.0.load(Ordering::Acquire) {
            1 => Some(Overdue::Wall),
            2 => Some(Overdue::Cpu),
            _ => None,
        }
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }
}

/// What bounds one poll.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) deadline: Time,
    /// CPU time this poll may still use, and why no more.
    pub(super) cpu_left: Option<(Duration, Overdue)>,
}

impl Bounds {
    /// For where time is that of computing alone: no deadline passes while a guest computes, its CPU time stands for it.
    pub(super) fn in_cpu_time(self, now: Time) -> Self {
        let wall_left = self.deadline.since(now);
        let cpu_left = self.cpu_left.filter(|(cpu_left, _)| *cpu_left <= wall_left);
        let cpu_left = cpu_left.unwrap_or((wall_left, Overdue::Wall));
        Bounds { deadline: Time::from_unix_nanos(u64::MAX), cpu_left: Some(cpu_left) }
    }
}

struct Watched {
    bounds: Bounds,
    thread: ThreadCpu,
    cpu: Option<CpuBudget>,
    alarm: Arc<Alarm>,
    /// What its thread had used when the alarm was raised.
    used_at_alarm: Option<Duration>,
    interrupter: Interrupter,
    holds: Holds,
}

/// What a guest holds while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// A thread that is for guests.
    Nothing,
    /// An async worker, not seen before.
    Worker,
    /// An async worker, seen once.
    WorkerStill,
    /// An async worker, for longer than a tick.
    WorkerForLong,
}

/// A running guest's CPU time. Its thread's clock is first read by the watchdog: most polls are over before that.
struct CpuBudget {
    left: Duration,
    why: Overdue,
    /// The reading at which it is used up.
    limit: Option<Duration>,
}

#[derive(Default)]
struct Entered {
    // a slab: `free` lists the empty places of `slots`
    slots: Vec<Option<Watched>>,
    free: Vec<usize>,
    parked: bool,
}

struct Shared {
    workers: Arc<Workers>,
    entered: Mutex<Entered>,
    wake: Condvar,
    clock: SharedClock,
    pace: Pace,
    stop: AtomicBool,
}

/// The watchdog thread. Dropping it stops the thread.
pub(super) struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watchdog {
    /// Starts the thread.
    pub(super) fn start(clock: SharedClock, pace: Pace, workers: Arc<Workers>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            workers,
            entered: Mutex::default(),
            wake: Condvar::new(),
            clock,
            pace,
            stop: AtomicBool::new(false),
        });
        let watching = shared.clone();
        let thread = std::thread::Builder::new().name("faas-watchdog".into()).spawn(move || {
            promptness::watch_promptly();
            watching.run();
        })?;
        Ok(Watchdog { shared, thread: Some(thread) })
    }

    /// Watches the calling thread, which is about to run a guest, until the guard is dropped.
    pub(super) fn enter(&self, bounds: Bounds, alarm: &Arc<Alarm>, interrupter: &Interrupter) -> Guard<'_> {
        alarm.clear();
        let bounds = match self.shared.pace {
            Pace::Real => bounds,
            Pace::Virtual => bounds.in_cpu_time(self.shared.clock.now()),
        };
        let thread = ThreadCpu::current();
        let cpu = bounds.cpu_left.map(|(left, why)| CpuBudget { left, why, limit: None });
        // in virtual time all run on the one thread that there is
        let is_apart = compute::is_here() || self.shared.pace == Pace::Virtual;
        let holds = if is_apart { Holds::Nothing } else { Holds::Worker };
        let (alarm, interrupter) = (alarm.clone(), interrupter.clone());
        let watched = Watched { bounds, thread, cpu, alarm, used_at_alarm: None, interrupter, holds };
        let mut entered = self.shared.entered.lock();
        let slot = match entered.free.pop() {
            Some(slot) => {
                entered.slots[slot] = Some(watched);
                slot
            }
            None => {
                entered.slots.push(Some(watched));
                entered.slots.len() - 1
            }
        };
        let parked = std::mem::take(&mut entered.parked);
        drop(entered);
        if parked {
            self.shared.wake.notify_one();
        }
        Guard { shared: &self.shared, slot }
    }

    /// Brings the deadline of all that is entered forward to now.
    pub(super) fn stop_all(&self) {
        let now = self.shared.clock.now();
        for watched in self.shared.entered.lock().slots.iter_mut().flatten() {
            watched.bounds.deadline = now;
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.entered.lock().parked = false;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // it never panics, and ends within a tick
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watchdog")
    }
}

/// Held while a guest runs.
pub(super) struct Guard<'a> {
    shared: &'a Shared,
    slot: usize,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let mut entered = self.shared.entered.lock();
        entered.slots[self.slot] = None;
        entered.free.push(self.slot);
    }
}

impl Shared {
    fn run(&self) {
        let (mut idle_ticks, mut held) = (0, 0);
        let mut entered = self.entered.lock();
        while !self.stop.load(Ordering::Acquire) {
            idle_ticks = if entered.free.len() == entered.slots.len() { idle_ticks + 1 } else { 0 };
            if idle_ticks > IDLE_TICKS_BEFORE_PARKING {
                entered.parked = true;
                while entered.parked {
                    self.wake.wait(&mut entered);
                }
                idle_ticks = 0;
                continue;
            }
            let now = self.clock.now();
            // Interrupting under the lock: a guest cannot leave, and its store be reused, while it is signalled.
            let (mut tick, mut held_now) = (TICK, 0);
            for watched in entered.slots.iter_mut().flatten() {
                tick = tick.min(watched.check(now));
                held_now += usize::from(watched.holds_worker_for_long());
            }
            if held_now > held {
                self.workers.one_is_held();
            }
            if held_now != held {
                self.workers.are_held(held_now);
                held = held_now;
            }
            self.wake.wait_for(&mut entered, tick);
        }
    }
}

impl Watched {
    /// Looks a time more.
    fn holds_worker_for_long(&mut self) -> bool {
        self.holds = match self.holds {
            Holds::Nothing => Holds::Nothing,
            Holds::Worker => Holds::WorkerStill,
            Holds::WorkerStill | Holds::WorkerForLong => Holds::WorkerForLong,
        };
        self.holds == Holds::WorkerForLong
    }

    /// Stops the guest if it is overdue. Says after how long to look again.
    fn check(&mut self, now: Time) -> Duration {
        if self.alarm.raised().is_some() {
            return self.interrupt();
        }
        let why = if now >= self.bounds.deadline {
            Some(Overdue::Wall)
        } else {
            self.cpu.as_mut().and_then(|cpu| cpu.is_used_up(self.thread).then_some(cpu.why))
        };
        let Some(why) = why else {
            return self.bounds.deadline.since(now).clamp(TICK_WHILE_INTERRUPTING, TICK);
        };
        self.alarm.raise(why);
        self.used_at_alarm = self.thread.elapsed();
        TICK_AFTER_ALARM
    }

    fn interrupt(&self) -> Duration {
        let used = self.used_at_alarm.and_then(|before| Some(self.thread.elapsed()?.saturating_sub(before)));
        // who holds a worker is behind nobody
        if self.holds == Holds::Nothing && used.is_some_and(|used| used < COMPUTES_ON) {
            return TICK_AFTER_ALARM;
        }
        self.interrupter.interrupt();
        TICK_WHILE_INTERRUPTING
    }
}

impl CpuBudget {
    fn is_used_up(&mut self, thread: ThreadCpu) -> bool {
        let Some(reading) = thread.elapsed() else { return false };
        // What was used until the first look is not counted: a tick of it at most. To take the time until then for CPU time
        // would stop guests too early where the watchdog has to wait for a processor.
        let limit = self.limit.get_or_insert(reading + self.left);
        reading >= *limit
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::cpu::{tests::work_for, thread_time},
        *,
    };

    #[test]
    fn nobody_is_stopped_before_the_budget_is_used_however_late_the_watchdog_looks() {
        const LEFT: Duration = Duration::from_millis(2);
        let thread = ThreadCpu::current();
        work_for(LEFT);
        let mut cpu = CpuBudget { left: LEFT, why: Overdue::Cpu, limit: None };
        // the guest waits for a processor, and so does the watchdog
        std::thread::spawn(|| work_for(5 * LEFT)).join().expect("no panic");
        let entered = thread_time();
        while !cpu.is_used_up(thread) {}
        assert!(thread_time() - entered >= LEFT);
    }

    #[test]
    fn where_time_is_that_of_computing_no_deadline_passes_and_the_tighter_bound_counts() {
        let now = Time::EPOCH + Duration::from_secs(10);
        let left = |deadline_s, cpu_left| {
            let deadline = now + Duration::from_secs(deadline_s);
            let bounds = Bounds { deadline, cpu_left }.in_cpu_time(now);
            assert_eq!(bounds.deadline, Time::from_unix_nanos(u64::MAX));
            bounds.cpu_left
        };
        let secs = Duration::from_secs;
        assert_eq!(left(3, None), Some((secs(3), Overdue::Wall)));
        assert_eq!(left(3, Some((secs(1), Overdue::Cpu))), Some((secs(1), Overdue::Cpu)));
        assert_eq!(left(3, Some((secs(5), Overdue::Cpu))), Some((secs(3), Overdue::Wall)));
    }
}
