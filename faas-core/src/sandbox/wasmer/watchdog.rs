//! Stops guests that run past their deadline.
//!
//! A guest holds its thread while it runs, so nobody but another thread can stop it. Each poll of a guest is
//! entered here and left when it returns; one thread looks at what is entered every millisecond and at each deadline, parks
//! when nothing is, and stops what is overdue in two steps:
//!
//! 1. it raises the guest's [`Alarm`], which every import checks: a guest that calls its host ends there;
//! 2. a moment later it interrupts the guest by a signal (wasmer's host interrupt), and again and again, in quicker
//!    ticks, until the guest has left, because a signal that meets the guest outside its own code is ignored.
//!
//! The first step spares the second where it would be dangerous: see [`super::interrupt`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use wasmer::Interrupter;

use super::{Pace, cpu::ThreadCpu, promptness};
use crate::clock::{SharedClock, Time};

const TICK: Duration = Duration::from_millis(1);
// long enough for a guest that talks to its host to come to its next import
const TICK_AFTER_ALARM: Duration = Duration::from_micros(200);
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
    /// CPU time this poll may still use.
    pub(super) cpu_left: Option<Duration>,
}

struct Watched {
    bounds: Bounds,
    cpu: Option<CpuBudget>,
    alarm: Arc<Alarm>,
    interrupter: Interrupter,
}

/// A running guest's CPU time. Its thread's clock is first read by the watchdog: most polls are over before that.
struct CpuBudget {
    thread: ThreadCpu,
    left: Duration,
    why: Overdue,
    entered: Time,
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
    pub(super) fn start(clock: SharedClock, pace: Pace) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
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
        let (left, why) = match (bounds.cpu_left, self.shared.pace) {
            // no deadline passes while a guest computes: its CPU time stands for it
            (None, Pace::Virtual) => (Some(bounds.deadline.since(self.shared.clock.now())), Overdue::Wall),
            (left, _) => (left, Overdue::Cpu),
        };
        let cpu = left.map(|left| CpuBudget {
            thread: ThreadCpu::current(),
            left,
            why,
            entered: self.shared.clock.now(),
            limit: None,
        });
        let watched = Watched { bounds, cpu, alarm: alarm.clone(), interrupter: interrupter.clone() };
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
        let mut idle_ticks = 0;
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
            let ticks = entered.slots.iter_mut().flatten().map(|watched| watched.check(now, self.pace));
            let tick = ticks.min().unwrap_or(TICK);
            self.wake.wait_for(&mut entered, tick);
        }
    }
}

impl Watched {
    /// Stops the guest if it is overdue. Says after how long to look again.
    fn check(&mut self, now: Time, pace: Pace) -> Duration {
        if self.alarm.raised().is_some() {
            self.interrupter.interrupt();
            return TICK_WHILE_INTERRUPTING;
        }
        if now >= self.bounds.deadline {
            self.alarm.raise(Overdue::Wall);
            return TICK_AFTER_ALARM;
        }
        if let Some(cpu) = &mut self.cpu
            && cpu.is_used_up(now)
        {
            self.alarm.raise(cpu.why);
            return TICK_AFTER_ALARM;
        }
        match pace {
            Pace::Real => self.bounds.deadline.since(now).clamp(TICK_WHILE_INTERRUPTING, TICK),
            // its deadline does not come nearer by waiting
            Pace::Virtual => TICK,
        }
    }
}

impl CpuBudget {
    fn is_used_up(&mut self, now: Time) -> bool {
        let Some(reading) = self.thread.elapsed() else { return false };
        // until the first look, all the time is taken for CPU time: a tick of it at most
        let limit = self.limit.get_or_insert(reading.saturating_sub(now.since(self.entered)) + self.left);
        reading >= *limit
    }
}
