//! Handshakes that are under way: so many, and none for long.
//!
//! Each is a task of its own, so one that dawdles delays nobody. When there are as many as there may be, the oldest makes
//! room: who knocks and says nothing more cannot keep others out.

use std::{collections::VecDeque, future::Future};

use tokio::task::{AbortHandle, JoinSet};

/// Tasks that end in `Some`, or come to nothing.
#[derive(Debug)]
pub(super) struct Handshakes<T> {
    tasks: JoinSet<Option<T>>,
    /// Oldest first; some have ended.
    order: VecDeque<AbortHandle>,
    most: usize,
}

impl<T: Send + 'static> Handshakes<T> {
    pub(super) fn at_most(most: usize) -> Self {
        Handshakes { tasks: JoinSet::new(), order: VecDeque::new(), most }
    }

    pub(super) fn begin(&mut self, handshake: impl Future<Output = Option<T>> + Send + 'static) {
        if self.tasks.len() >= self.most
            && let Some(oldest) = self.order.iter().position(|task| !task.is_finished())
        {
            self.order.drain(..=oldest).for_each(|task| task.abort());
        }
        if self.order.len() >= 2 * self.most {
            self.order.retain(|task| !task.is_finished());
        }
        self.order.push_back(self.tasks.spawn(handshake));
    }

    /// The next that ends well; waits for ever if there is none. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> T {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Some(done))) => return done,
                // came to nothing, or was aborted
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{Notify, mpsc};

    use super::*;

    /// Says its number when it is dropped without having ended.
    struct Told(u32, mpsc::UnboundedSender<u32>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.1.send(self.0);
        }
    }

    #[tokio::test]
    async fn the_oldest_makes_room_and_those_that_go_on_end_well() {
        let (sender, mut dropped) = mpsc::unbounded_channel();
        let go_on = Arc::new(Notify::new());
        let mut handshakes = Handshakes::at_most(3);
        for n in 0..5 {
            let (told, go_on) = (Told(n, sender.clone()), go_on.clone());
            handshakes.begin(async move {
                go_on.notified().await;
                std::mem::forget(told);
                Some(n)
            });
            tokio::task::yield_now().await;
        }
        assert_eq!((dropped.recv().await, dropped.recv().await), (Some(0), Some(1)));
        go_on.notify_waiters();
        let mut done = vec![handshakes.next().await, handshakes.next().await, handshakes.next().await];
        done.sort_unstable();
        assert_eq!(done, [2, 3, 4]);
        assert!(dropped.try_recv().is_err());
    }

    #[tokio::test]
    async fn those_that_have_ended_do_not_pile_up_behind_one_that_has_not() {
        let mut handshakes = Handshakes::<()>::at_most(4);
        handshakes.begin(std::future::pending());
        for _ in 0..1000 {
            handshakes.begin(async { Some(()) });
            handshakes.next().await;
        }
        assert!(handshakes.order.len() <= 9, "{}", handshakes.order.len());
        assert_eq!(handshakes.tasks.len(), 1, "the one that dawdles is not the oldest of too many");
    }
}
