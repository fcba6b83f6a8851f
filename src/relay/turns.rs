//! Taking turns: directions in bulk wait for each other, nobody waits for them.
//!
//! A direction that has moved its quantum and could go on gets a ticket. One ticket at a time is called, and only
//! after the runtime has looked at the sockets: whatever became ready meanwhile is served first, so a message
//! waits for one block of bulk at most, not for one of each busy connection.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// The directions of a relay that wait for their next turn.
#[derive(Debug, Default)]
pub struct Turns(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// Who comes after the one that was called.
    queue: VecDeque<(u64, Waker)>,
    /// The number that was called and has not come yet.
    called: Option<u64>,
    /// Numbers given so far.
    given: u64,
}

/// A place among those that wait; given up when dropped.
#[derive(Debug)]
pub struct Ticket {
    turns: Arc<Turns>,
    number: u64,
}

impl Turns {
    /// A ticket for whoever polls with `cx`, which is woken when its turn has come.
    pub fn wait(self: &Arc<Self>, cx: &Context<'_>) -> Ticket {
        let mut waiting = self.lock();
        waiting.given += 1;
        let number = waiting.given;
        waiting.queue.push_back((number, cx.waker().clone()));
        if waiting.called.is_none() {
            waiting.call_next();
        }
        Ticket { turns: Arc::clone(self), number }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn call_next(&mut self) {
        let next = self.queue.pop_front();
        self.called = next.as_ref().map(|(number, _)| *number);
        if let Some((_, waker)) = next {
            wake_later(&waker);
        }
    }
}

/// Wakes after the runtime has looked at the sockets, which is how tokio wakes whoever polls this future.
fn wake_later(waker: &Waker) {
    let _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(waker));
}

impl Ticket {
    /// Whether it has been called. Whoever holds it goes on then, and drops it first.
    pub fn is_called(&self) -> bool {
        self.turns.lock().called == Some(self.number)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut waiting = self.turns.lock();
        if waiting.called == Some(self.number) {
            waiting.call_next();
        } else {
            waiting.queue.retain(|(number, _)| *number != self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use super::*;

    /// Takes so many turns, and says in `order` which of them.
    async fn take(turns: Arc<Turns>, name: usize, count: usize, order: Arc<Mutex<Vec<usize>>>) {
        for _ in 0..count {
            let mut ticket = None;
            poll_fn(|cx| match &ticket {
                None => {
                    ticket = Some(turns.wait(cx));
                    Poll::Pending
                }
                Some(place) if place.is_called() => {
                    ticket = None;
                    Poll::Ready(())
                }
                Some(_) => Poll::Pending,
            })
            .await;
            order.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        }
    }

    #[tokio::test]
    async fn turns_go_round() {
        let (turns, order) = (Arc::<Turns>::default(), Arc::<Mutex<Vec<usize>>>::default());
        let takers = (0..3).map(|name| tokio::spawn(take(turns.clone(), name, 4, order.clone())));
        for taker in takers.collect::<Vec<_>>() {
            assert!(taker.await.is_ok());
        }
        assert_eq!(*order.lock().unwrap_or_else(PoisonError::into_inner), [0, 1, 2].repeat(4));
    }

    #[tokio::test]
    async fn a_place_that_is_given_up_is_passed_on() {
        let turns = Arc::<Turns>::default();
        let held: Vec<Ticket> = poll_fn(|cx| Poll::Ready((0..3).map(|_| turns.wait(cx)).collect::<Vec<_>>())).await;
        let [first, second, third] = held.try_into().unwrap_or_else(|_| unreachable!());
        assert!(first.is_called() && !second.is_called());
        drop(second);
        drop(first);
        assert!(third.is_called());
        drop(third);
        assert!(turns.lock().queue.is_empty() && turns.lock().called.is_none());
    }

    #[tokio::test]
    async fn what_is_ready_meanwhile_comes_first() {
        let (turns, order) = (Arc::<Turns>::default(), Arc::<Mutex<Vec<usize>>>::default());
        let others = Arc::<AtomicUsize>::default();
        let taker = tokio::spawn(take(turns, 1, 3, order));
        let counter = others.clone();
        let other = tokio::spawn(async move {
            while !taker.is_finished() && counter.fetch_add(1, Ordering::Relaxed) < 100 {
                tokio::task::yield_now().await;
            }
        });
        assert!(other.await.is_ok());
        let seen = others.load(Ordering::Relaxed);
        assert!((3..100).contains(&seen), "{seen} turns of another task during three");
    }
}
