//! What waits to be written: a bounded queue, which the relay never waits for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::frame::MOST;
use super::{Session, Toward};

/// Most bytes that wait, with what is known of each block. As much again may be with the writer.
pub(super) const LIMIT: usize = 16 << 20;
/// What is kept for beginnings and ends of sessions, which are not to be missed.
const RESERVE: usize = 4 << 20;
/// What a batch may keep of its memory while nothing comes.
const KEPT: usize = 256 << 10;

/// What happened, and when: in nanoseconds since 1970.
#[derive(Debug)]
pub(super) struct Entry {
    /// It never goes back, whatever is done to the clock.
    pub time: u64,
    /// In which session.
    pub session: Arc<Session>,
    pub what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Begins,
    /// The next `length` bytes of the batch.
    Bytes {
        toward: Toward,
        offset: u64,
        length: usize,
    },
    Ends(Toward),
    Closes(Box<(bool, String)>),
    /// There was no room for these.
    Missing {
        blocks: u64,
        bytes: u64,
    },
}

/// What is written in one go. Its memory goes back and forth between the relay and the writer.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub entries: Vec<Entry>,
    pub bytes: Vec<u8>,
}

impl Batch {
    fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Entry>()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.entries.shrink_to(KEPT / size_of::<Entry>());
        self.bytes.shrink_to(KEPT);
    }

    fn miss(&mut self, time: u64, session: &Arc<Session>, count: u64) {
        if let Some(Entry { what: What::Missing { blocks, bytes }, .. }) = self.entries.last_mut() {
            *blocks += 1;
            *bytes += count;
        } else {
            let what = What::Missing { blocks: 1, bytes: count };
            self.entries.push(Entry { time, session: Arc::clone(session), what });
        }
    }
}

/// The time of day at one moment of a clock that is never set.
#[derive(Debug, Clone, Copy)]
struct Clock {
    begun: Instant,
    nanoseconds: u64,
}

impl Clock {
    fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { begun: Instant::now(), nanoseconds: u64::try_from(since.as_nanos()).unwrap_or(0) }
    }

    fn now(self) -> u64 {
        self.nanoseconds.saturating_add(u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(0))
    }
}

/// Between the relay and the thread that writes.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    clock: Clock,
    /// Nobody takes anything any more.
    over: AtomicBool,
    /// Bytes written so far.
    written: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    closing: bool,
    /// The writer waits.
    idle: bool,
    sessions: u64,
}

impl Queue {
    pub(super) fn new() -> Self {
        let state = Mutex::default();
        Self {
            state,
            changed: Condvar::new(),
            clock: Clock::new(),
            over: AtomicBool::new(false),
            written: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the next session.
    pub(super) fn number(&self) -> u64 {
        let mut state = self.lock();
        state.sessions += 1;
        state.sessions
    }

    /// This moment.
    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Adds a block; never waits. What finds no room is counted.
    pub(super) fn push_bytes(&self, session: &Arc<Session>, toward: Toward, offset: u64, block: &[u8]) {
        if self.is_over() {
            return;
        }
        let mut state = self.lock();
        // Under the lock, so that entries are in the order of their times.
        let time = self.clock.now();
        let batch = &mut state.batch;
        let mut offset = offset;
        for piece in block.chunks(MOST) {
            let length = piece.len();
            if batch.size() + length + size_of::<Entry>() > LIMIT {
                batch.miss(time, session, length as u64);
            } else {
                let what = What::Bytes { toward, offset, length };
                batch.entries.push(Entry { time, session: Arc::clone(session), what });
                batch.bytes.extend_from_slice(piece);
            }
            offset += length as u64;
        }
        self.wake(state);
    }

    /// Adds an event, for which there is room when there is none for bytes.
    pub(super) fn push(&self, session: &Arc<Session>, what: What) {
        if self.is_over() {
            return;
        }
        let mut state = self.lock();
        let time = self.clock.now();
        if state.batch.size() > LIMIT + RESERVE {
            state.batch.miss(time, session, 0);
        } else {
            state.batch.entries.push(Entry { time, session: Arc::clone(session), what });
        }
        self.wake(state);
    }

    /// Wakes the writer if it waits: waking nobody is a system call, too.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        if idle {
            self.changed.notify_all();
        }
    }

    /// Waits for something to write, and puts it in the place of `batch`, which is empty; false when no more
    /// will come.
    pub(super) fn take(&self, batch: &mut Batch) -> bool {
        let idle = |state: &mut State| {
            state.idle = state.batch.entries.is_empty() && !state.closing;
            state.idle
        };
        let mut state = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.batch, batch);
        !batch.entries.is_empty()
    }

    /// Says that no more will come.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Says that nothing is taken any more: what waits is dropped.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        self.over.store(true, Ordering::Release);
        state.batch = Batch::default();
        drop(state);
        self.changed.notify_all();
    }

    /// Counts what was written.
    pub(super) fn add_written(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Waits until nothing is taken any more, for `limit` at most; true if it came to that.
    pub(super) fn wait_over(&self, limit: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), limit, |_| !self.is_over());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.is_over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::tests::session;

    fn missing(batch: &Batch) -> (u64, u64) {
        batch.entries.iter().fold((0, 0), |(count, sum), entry| match entry.what {
            What::Missing { blocks, bytes } => (count + blocks, sum + bytes),
            _ => (count, sum),
        })
    }

    #[test]
    fn what_finds_no_room_is_counted_and_nobody_waits() {
        let (queue, session, block) = (Queue::new(), Arc::new(session(1)), vec![7; MOST + 1]);
        queue.push(&session, What::Begins);
        let begun = Instant::now();
        for number in 0..1000_u64 {
            queue.push_bytes(&session, Toward::Right, number * block.len() as u64, &block);
        }
        queue.push(&session, What::Ends(Toward::Right));
        assert!(begun.elapsed() < Duration::from_secs(5));
        let mut batch = Batch::default();
        assert!(queue.take(&mut batch));
        let (blocks, bytes) = missing(&batch);
        assert!(batch.size() <= LIMIT + 3 * size_of::<Entry>());
        assert_eq!(bytes + batch.bytes.len() as u64, 1000 * block.len() as u64);
        assert!(blocks > 0 && matches!(batch.entries.last().map(|entry| &entry.what), Some(What::Ends(_))));
        assert!(batch.entries.is_sorted_by_key(|entry| entry.time));
        batch.clear();
        assert!(batch.bytes.capacity() <= KEPT);
    }

    #[test]
    fn pieces_of_a_block_keep_their_places() {
        let (queue, session) = (Queue::new(), Arc::new(session(1)));
        queue.push_bytes(&session, Toward::Left, 10, &vec![1; 2 * MOST + 5]);
        let mut batch = Batch::default();
        queue.take(&mut batch);
        let places = batch.entries.iter().map(|entry| match entry.what {
            What::Bytes { offset, length, .. } => (offset, length),
            _ => (0, 0),
        });
        let most = MOST as u64;
        assert_eq!(places.collect::<Vec<_>>(), [(10, MOST), (10 + most, MOST), (10 + 2 * most, 5)]);
    }

    #[test]
    fn the_end_is_seen_by_both_sides() {
        let (queue, session) = (Queue::new(), Arc::new(session(1)));
        queue.push_bytes(&session, Toward::Right, 0, b"last");
        queue.close();
        let mut batch = Batch::default();
        assert!(queue.take(&mut batch) && queue.is_closing());
        batch.clear();
        assert!(!queue.take(&mut batch));
        assert!(!queue.wait_over(Duration::from_millis(1)));
        queue.end();
        assert!(queue.wait_over(Duration::ZERO));
        queue.push_bytes(&session, Toward::Right, 4, b"nobody takes this");
        assert!(!queue.take(&mut batch));
    }
}
