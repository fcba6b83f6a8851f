//! One timer for the half closes of all sessions of a relay.
//!
//! Most connections end a moment after one side has: a timer of tokio's for each would be set to be taken back,
//! and setting the earliest one costs a system call. Here one timer runs while any session waits, and is not
//! touched by those that come and go meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};

use tokio::sync::Notify;
use tokio::time::Instant;

/// What sessions wait for.
#[derive(Debug, Default)]
pub struct Clock {
    alarms: Mutex<Alarms>,
    /// The first alarm has become an earlier one, or there will be none any more.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Alarms {
    set: BTreeMap<(Instant, u64), Waker>,
    /// Numbers given so far; two alarms may be at the same time.
    given: u64,
    /// When the timer runs out, while it runs.
    timer: Option<Instant>,
}

/// An alarm that was set; taken back when dropped.
#[derive(Debug)]
pub struct Alarm {
    clock: Arc<Clock>,
    key: (Instant, u64),
}

impl Clock {
    /// Wakes whoever polls with `cx`, at `time` or a little later. Must be called inside a runtime.
    pub fn set(self: &Arc<Self>, time: Instant, cx: &Context<'_>) -> Alarm {
        let mut alarms = self.lock();
        alarms.given += 1;
        let key = (time, alarms.given);
        alarms.set.insert(key, cx.waker().clone());
        match alarms.timer {
            None => {
                alarms.timer = Some(time);
                tokio::spawn(run(Arc::downgrade(self), Arc::clone(&self.changed), time));
            }
            Some(timer) if time < timer => self.changed.notify_one(),
            Some(_) => {}
        }
        Alarm { clock: Arc::clone(self), key }
    }

    fn lock(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those whose time has come; says when the next one's does. The timer ends when there is none.
    fn ring(&self) -> Option<Instant> {
        let mut alarms = self.lock();
        let now = Instant::now();
        while let Some(alarm) = alarms.set.first_entry().filter(|alarm| alarm.key().0 <= now) {
            alarm.remove().wake();
        }
        alarms.timer = alarms.set.first_key_value().map(|((time, _), _)| *time);
        alarms.timer
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

/// Where the timer runs; a runtime that ends takes it along, and the next alarm starts another one.
struct Running {
    clock: Weak<Clock>,
    over: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let (false, Some(clock)) = (self.over, self.clock.upgrade()) {
            clock.lock().timer = None;
        }
    }
}

/// Rings until nobody waits, or the relay is gone.
async fn run(clock: Weak<Clock>, changed: Arc<Notify>, mut time: Instant) {
    let mut running = Running { clock, over: false };
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(time) => {}
            () = changed.notified() => {}
        }
        match running.clock.upgrade().and_then(|clock| clock.ring()) {
            Some(next) => time = next,
            None => break,
        }
    }
    running.over = true;
}

impl Alarm {
    /// When it goes off.
    pub fn time(&self) -> Instant {
        self.key.0
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.clock.lock().set.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;
    use std::time::Duration;

    use super::*;

    /// Waits for `time` as a session does; returns when it woke.
    async fn waits(clock: Arc<Clock>, time: Instant) -> Instant {
        let mut alarm = None;
        poll_fn(|cx| {
            if Instant::now() >= time {
                return Poll::Ready(());
            }
            alarm.get_or_insert_with(|| clock.set(time, cx));
            Poll::Pending
        })
        .await;
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_woken_at_their_time_even_those_that_came_late_and_want_it_early() {
        let (clock, start) = (Arc::<Clock>::default(), Instant::now());
        let times = [300, 100, 200, 100, 50].map(|millis| start + Duration::from_millis(millis));
        let waiting = times.map(|time| tokio::spawn(waits(clock.clone(), time)));
        for (task, time) in waiting.into_iter().zip(times) {
            let woke = task.await.unwrap_or(start);
            assert!(woke >= time && woke - time <= Duration::from_millis(2), "{:?}", woke - time);
        }
        assert!(clock.lock().timer.is_none() && clock.lock().set.is_empty());
        // The timer starts again for the next one.
        let next = Instant::now() + Duration::from_secs(1);
        assert!(waits(clock, next).await >= next);
    }

    #[test]
    fn a_runtime_that_ended_is_no_end_of_the_clock() {
        let clock = Arc::<Clock>::default();
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build();
        let (Ok(first), Ok(second)) = (runtime(), runtime()) else { unreachable!("no runtime") };
        let hour = Duration::from_secs(3600);
        let alarm = first.block_on(async {
            let alarm = poll_fn(|cx| Poll::Ready(clock.set(Instant::now() + hour, cx))).await;
            tokio::task::yield_now().await;
            alarm
        });
        assert!(clock.lock().timer.is_some());
        drop((alarm, first));
        second.block_on(async {
            let soon = Instant::now() + Duration::from_millis(5);
            assert!(tokio::time::timeout(Duration::from_secs(10), waits(clock, soon)).await.is_ok());
        });
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_stays_of_what_was_taken_back_or_dropped() {
        let clock = Arc::<Clock>::default();
        let hour = Instant::now() + Duration::from_secs(3600);
        let alarm = poll_fn(|cx| Poll::Ready(clock.set(hour, cx))).await;
        assert_eq!((alarm.time(), clock.lock().set.len()), (hour, 1));
        drop(alarm);
        assert!(clock.lock().set.is_empty());
        let timers = Arc::clone(&clock.changed);
        drop(clock);
        while Arc::strong_count(&timers) > 1 {
            tokio::task::yield_now().await;
        }
        assert!(Instant::now() < hour);
    }
}
