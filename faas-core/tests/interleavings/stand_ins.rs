//! What stands here for `parking_lot` and `tokio`: as much of them as the shell uses.
//!
//! Lock and tasks are shuttle's: a task that waits for the lock lets others run. Channel and notice are tokio's own, which
//! never block; tokio checks their insides itself (by loom). Each of their operations is one step, and before and after it
//! any other task may run.

use std::{
    cell::{Cell, RefCell},
    ops::{Deref, DerefMut},
    sync::PoisonError,
};

use shuttle::{
    current::{TaskId, me},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use crate::faults::Fault;

/// Lets any other task run first.
pub(crate) fn step() {
    if !std::thread::panicking() {
        AtomicBool::new(false).load(SeqCst);
    }
}

/// As `parking_lot::Mutex`: without poison.
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        HOLDER.set(Some(me()));
        Guard(guard)
    }
}

/// Holds the one lock of the one scheduler of an execution.
pub(crate) struct Guard<'a, T>(shuttle::sync::MutexGuard<'a, T>);

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        HOLDER.set(None);
    }
}

/// What belongs to users never runs under the lock.
pub(crate) fn assert_unlocked() {
    if !std::thread::panicking() {
        assert_ne!(HOLDER.get(), Some(me()), "what belongs to users runs under the lock");
    }
}

thread_local! {
    static HOLDER: Cell<Option<TaskId>> = const { Cell::new(None) };
    /// All tasks of an execution run on the thread that began it.
    static TASKS: RefCell<Vec<shuttle::future::JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
    /// What is broken on purpose.
    pub(crate) static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
}

pub(crate) fn is_broken(fault: Fault) -> bool {
    FAULT.get() == Some(fault)
}

/// Waits for every task that the shell has started: one that never ends is reported as a deadlock.
pub(crate) async fn all_tasks_end() {
    while let Some(task) = TASKS.with_borrow_mut(Vec::pop) {
        drop(task.await); // it may have been aborted
    }
}

pub(crate) mod task {
    pub(crate) use shuttle::future::AbortHandle;
}

pub(crate) mod runtime {
    use super::{TASKS, step, task::AbortHandle};

    #[derive(Clone)]
    pub(crate) struct Handle;

    impl Handle {
        pub(crate) fn current() -> Self {
            Handle
        }

        pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle {
            step();
            let task = shuttle::future::spawn(task);
            let handle = JoinHandle(task.abort_handle());
            TASKS.with_borrow_mut(|tasks| tasks.push(task));
            handle
        }
    }

    pub(crate) struct JoinHandle(AbortHandle);

    impl JoinHandle {
        pub(crate) fn abort_handle(&self) -> AbortHandle {
            self.0.clone()
        }
    }
}

pub(crate) mod sync {
    pub(crate) use notify::Notify;

    pub(crate) mod oneshot {
        use std::{
            pin::Pin,
            task::{Context, Poll},
        };

        use real_tokio::sync::oneshot::{self, error::RecvError};

        use crate::{
            faults::Fault,
            stand_ins::{is_broken, step},
        };

        /// Always there but while it is sent or dropped.
        pub(crate) struct Sender<T>(Option<oneshot::Sender<T>>);

        /// Always there but while it is dropped.
        pub(crate) struct Receiver<T>(Option<oneshot::Receiver<T>>);

        pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
            let (sender, receiver) = oneshot::channel();
            (Sender(Some(sender)), Receiver(Some(receiver)))
        }

        impl<T> Sender<T> {
            pub(crate) fn send(mut self, value: T) -> Result<(), T> {
                step();
                let result = self.0.take().expect("it is sent once").send(value);
                step();
                if is_broken(Fault::AnswersLeak)
                    && let Err(value) = result
                {
                    std::mem::forget(value);
                    return Ok(());
                }
                result
            }
        }

        impl<T> Drop for Sender<T> {
            fn drop(&mut self) {
                if let Some(sender) = self.0.take() {
                    step();
                    drop(sender);
                    step();
                }
            }
        }

        impl<T> Receiver<T> {
            pub(crate) fn is_terminated(&self) -> bool {
                step();
                self.0.as_ref().expect("it is not dropped").is_terminated()
            }
        }

        impl<T> Future for Receiver<T> {
            type Output = Result<T, RecvError>;

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                step();
                let answer = Pin::new(self.0.as_mut().expect("it is not dropped")).poll(cx);
                step();
                answer
            }
        }

        impl<T> Drop for Receiver<T> {
            fn drop(&mut self) {
                step();
                drop(self.0.take());
                step();
            }
        }
    }

    mod notify {
        use std::{
            pin::Pin,
            task::{Context, Poll},
        };

        use real_tokio::sync::{Notify as Real, futures::Notified as RealNotified};

        use crate::{
            faults::Fault,
            stand_ins::{is_broken, step},
        };

        pub(crate) struct Notify(Real);

        impl Notify {
            pub(crate) fn new() -> Self {
                Notify(Real::new())
            }

            pub(crate) fn notified(&self) -> Notified<'_> {
                step();
                let is_late = is_broken(Fault::NoticesAreAwaitedLate);
                Notified { of: &self.0, notified: (!is_late).then(|| Box::pin(self.0.notified())) }
            }

            pub(crate) fn notify_one(&self) {
                step();
                if is_broken(Fault::NoticesAreNotKept) {
                    self.0.notify_waiters();
                } else {
                    self.0.notify_one();
                }
                step();
            }

            pub(crate) fn notify_waiters(&self) {
                step();
                self.0.notify_waiters();
                step();
            }
        }

        pub(crate) struct Notified<'a> {
            of: &'a Real,
            notified: Option<Pin<Box<RealNotified<'a>>>>,
        }

        impl Notified<'_> {
            pub(crate) fn enable(mut self: Pin<&mut Self>) -> bool {
                step();
                let is_told = self.notified.as_mut().is_some_and(|notified| notified.as_mut().enable());
                step();
                is_told
            }
        }

        impl Future for Notified<'_> {
            type Output = ();

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
                step();
                let of = self.of;
                let told = self.notified.get_or_insert_with(|| Box::pin(of.notified())).as_mut().poll(cx);
                step();
                told
            }
        }
    }
}
