//! What the device has said and not all have read yet: one queue for everybody, each reader with a place in it.
//!
//! Positions count the bytes since the beginning. The bytes are kept once, however many read them, and a
//! reader that is far behind costs no more than one that is not.

use std::collections::{BTreeMap, VecDeque};

use tokio::io::ReadBuf;

/// Memory that is kept while nothing waits.
const AT_REST: usize = 16 * 1024;

/// The queue and its readers.
#[derive(Debug, Default)]
pub struct Backlog {
    bytes: VecDeque<u8>,
    /// Position of the first byte.
    start: u64,
    /// Most bytes before one reader.
    queue: usize,
    /// Bytes kept for readers to come.
    replay: usize,
    /// The readers' positions.
    readers: BTreeMap<u64, u64>,
    /// Readers that have bytes before them.
    behind: usize,
    /// All before this position were read by somebody, or are counted as missed by somebody.
    settled: u64,
    /// Bytes that went by while nobody was there.
    unheard: u64,
}

impl Backlog {
    /// An empty one.
    pub fn new(queue: usize, replay: usize) -> Self {
        Self { queue, replay, ..Self::default() }
    }

    /// The position behind the last byte.
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// A further reader; it begins with what is kept for it.
    pub fn join(&mut self, reader: u64) {
        let at = self.end().saturating_sub(self.replay as u64).max(self.start);
        self.behind += usize::from(at < self.end());
        self.readers.insert(reader, at);
    }

    /// A reader leaves; gives how many bytes it has not read.
    pub fn leave(&mut self, reader: u64) -> u64 {
        let missed = self.skip(reader, 0);
        self.readers.remove(&reader);
        self.trim();
        missed
    }

    /// Adds what the device said.
    pub fn push(&mut self, block: &[u8]) {
        if block.is_empty() {
            return;
        }
        self.bytes.extend(block);
        self.behind = self.readers.len();
        self.trim();
    }

    /// A reader with more bytes before it than the queue may hold.
    pub fn overrun(&self) -> Option<u64> {
        let most = self.queue as u64;
        self.readers.iter().find(|(_, at)| self.end() - **at > most).map(|(reader, _)| *reader)
    }

    /// Takes the oldest bytes from before a reader until the queue holds the rest; gives how many.
    pub fn cut(&mut self, reader: u64) -> u64 {
        self.skip(reader, self.queue as u64)
    }

    /// Takes all bytes from before a reader; gives how many.
    pub fn clear(&mut self, reader: u64) -> u64 {
        self.skip(reader, 0)
    }

    fn skip(&mut self, reader: u64, left: u64) -> u64 {
        let end = self.end();
        let Some(at) = self.readers.get_mut(&reader) else { return 0 };
        let to = end.saturating_sub(left).max(*at);
        let missed = to - *at;
        self.moved(reader, to);
        missed
    }

    /// Bytes before a reader.
    pub fn waiting(&self, reader: u64) -> usize {
        let waiting = self.readers.get(&reader).map_or(0, |at| self.end() - at);
        usize::try_from(waiting).unwrap_or(usize::MAX)
    }

    /// Whether each reader could get `more` bytes.
    pub fn has_room(&self, more: usize) -> bool {
        let most = self.queue.saturating_sub(more) as u64;
        self.readers.values().all(|at| self.end() - at <= most)
    }

    /// Gives a reader what fits into `buf`.
    pub fn read(&mut self, reader: u64, buf: &mut ReadBuf<'_>) -> usize {
        let Some(at) = self.readers.get(&reader) else { return 0 };
        // What is before a reader is in memory.
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        let (first, second) = self.bytes.as_slices();
        let to = *at;
        let mut count = 0;
        for piece in [first.get(from..), second.get(from.saturating_sub(first.len())..)].into_iter().flatten() {
            let piece = &piece[..piece.len().min(buf.remaining())];
            buf.put_slice(piece);
            count += piece.len();
        }
        self.moved(reader, to + count as u64);
        count
    }

    /// Notes that a reader is done with what came before `to`.
    fn moved(&mut self, reader: u64, to: u64) {
        let end = self.end();
        let Some(at) = self.readers.get_mut(&reader) else { return };
        let caught_up = *at < end && to == end;
        *at = to;
        self.behind -= usize::from(caught_up);
        self.settled = self.settled.max(to);
        if caught_up && self.behind == 0 {
            self.trim();
        }
    }

    /// Forgets what nobody needs any more.
    fn trim(&mut self) {
        let end = self.end();
        let slowest = if self.behind == 0 { end } else { self.readers.values().copied().min().unwrap_or(end) };
        let floor = slowest.min(end.saturating_sub(self.replay as u64)).max(self.start);
        let count = usize::try_from(floor - self.start).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes.drain(..count);
        self.start = floor;
        self.unheard += floor.saturating_sub(self.settled);
        self.settled = self.settled.max(floor);
    }

    /// The bytes nobody was there for, since this was asked last.
    pub fn take_unheard(&mut self) -> u64 {
        std::mem::take(&mut self.unheard)
    }

    /// Gives memory back if nothing waits.
    pub fn rest(&mut self) {
        if self.behind == 0 && self.bytes.capacity() > AT_REST.max(self.replay) {
            self.bytes.shrink_to(AT_REST.max(self.bytes.len()));
        }
    }

    /// Ends what is kept for readers to come; gives how many of these bytes nobody got.
    pub fn close(&mut self) -> u64 {
        self.replay = 0;
        self.trim();
        self.take_unheard()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, clippy::cast_possible_truncation, reason = "tests")]

    use std::mem::MaybeUninit;

    use proptest::prelude::*;

    use super::*;

    fn read(backlog: &mut Backlog, reader: u64, most: usize) -> Vec<u8> {
        let mut space = vec![MaybeUninit::uninit(); most];
        let mut buf = ReadBuf::uninit(&mut space);
        let count = backlog.read(reader, &mut buf);
        assert_eq!(buf.filled().len(), count);
        buf.filled().to_vec()
    }

    #[test]
    fn every_reader_gets_all_at_its_own_pace() {
        let mut backlog = Backlog::new(100, 0);
        backlog.join(1);
        backlog.join(2);
        backlog.push(b"hello ");
        assert_eq!(read(&mut backlog, 1, 3), b"hel");
        backlog.push(b"world");
        assert_eq!(read(&mut backlog, 1, 100), b"lo world");
        assert_eq!((backlog.waiting(1), backlog.waiting(2)), (0, 11));
        assert_eq!(read(&mut backlog, 2, 100), b"hello world");
        assert!(backlog.bytes.is_empty(), "nothing is kept that nobody needs");
        assert_eq!(backlog.take_unheard(), 0);
    }

    #[test]
    fn the_oldest_bytes_are_cut_for_the_slow_one_alone() {
        let mut backlog = Backlog::new(4, 0);
        backlog.join(1);
        backlog.join(2);
        backlog.push(b"abcd");
        assert_eq!(backlog.overrun(), None);
        assert_eq!(read(&mut backlog, 2, 9), b"abcd");
        assert!(!backlog.has_room(1));
        backlog.push(b"ef");
        assert_eq!(backlog.overrun(), Some(1));
        assert_eq!(backlog.cut(1), 2);
        assert_eq!(backlog.overrun(), None);
        assert_eq!(read(&mut backlog, 1, 9), b"cdef");
        assert_eq!(read(&mut backlog, 2, 9), b"ef");
        // A block larger than the queue is for those who have read all.
        assert!(backlog.has_room(4) && backlog.has_room(5));
    }

    #[test]
    fn a_late_reader_begins_with_what_is_kept_for_it() {
        let mut backlog = Backlog::new(100, 4);
        backlog.push(b"boot: ");
        backlog.join(1);
        assert_eq!(read(&mut backlog, 1, 9), b"ot: ");
        backlog.push(b"ok");
        assert_eq!(backlog.leave(1), 2);
        backlog.join(2);
        assert_eq!(read(&mut backlog, 2, 9), b": ok");
        assert_eq!(backlog.take_unheard(), 2, "bo");
        assert_eq!(backlog.close(), 0);
    }

    #[test]
    fn what_nobody_is_there_for_is_counted_and_not_kept() {
        let mut backlog = Backlog::new(100, 0);
        backlog.push(b"to nobody");
        assert_eq!((backlog.take_unheard(), backlog.bytes.len()), (9, 0));
        let mut backlog = Backlog::new(100, 3);
        backlog.push(b"to nobody");
        assert_eq!((backlog.take_unheard(), backlog.close()), (6, 3));
    }

    #[test]
    fn memory_is_given_back_at_rest() {
        let mut backlog = Backlog::new(1 << 20, 0);
        backlog.join(1);
        backlog.push(&vec![7; 1 << 20]);
        backlog.rest();
        assert!(backlog.bytes.capacity() >= 1 << 20);
        assert_eq!(backlog.clear(1), 1 << 20);
        backlog.push(b"x");
        assert_eq!(read(&mut backlog, 1, 9), b"x");
        backlog.rest();
        assert!(backlog.bytes.capacity() <= 2 * AT_REST, "{}", backlog.bytes.capacity());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Join(u64),
        Leave(u64),
        Push(usize),
        Read(u64, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let reader = 0..4_u64;
        prop_oneof![
            reader.clone().prop_map(Step::Join),
            reader.clone().prop_map(Step::Leave),
            (0..20_usize).prop_map(Step::Push),
            (reader, 1..20_usize).prop_map(|(reader, most)| Step::Read(reader, most)),
        ]
    }

    proptest! {
        /// Against the plainest model there is: all bytes ever said, and where each reader stands.
        #[test]
        fn no_byte_is_lost_or_doubled(steps in prop::collection::vec(step(), 1..200), replay in 0..16_usize) {
            let mut backlog = Backlog::new(32, replay);
            let (mut said, mut places) = (Vec::new(), BTreeMap::<u64, usize>::new());
            for step in steps {
                match step {
                    Step::Join(reader) if !places.contains_key(&reader) => {
                        backlog.join(reader);
                        places.insert(reader, said.len() - replay.min(said.len()));
                    }
                    Step::Leave(reader) => {
                        let missed = backlog.leave(reader);
                        let at = places.remove(&reader).unwrap_or(said.len());
                        prop_assert_eq!(missed, (said.len() - at) as u64);
                    }
                    Step::Push(count) => {
                        let block: Vec<u8> = (0..count).map(|place| (said.len() + place) as u8).collect();
                        backlog.push(&block);
                        said.extend(block);
                        while let Some(reader) = backlog.overrun() {
                            prop_assert!(said.len() - places[&reader] > 32);
                            let missed = backlog.cut(reader);
                            prop_assert!(missed > 0);
                            *places.get_mut(&reader).expect("joined") += missed as usize;
                        }
                    }
                    Step::Read(reader, most) if places.contains_key(&reader) => {
                        let got = read(&mut backlog, reader, most);
                        let at = places.get_mut(&reader).expect("joined");
                        prop_assert_eq!(&got[..], &said[*at..(*at + most).min(said.len())]);
                        *at += got.len();
                    }
                    _ => {}
                }
                let slowest = places.values().copied().min().unwrap_or(said.len());
                let needed = said.len() - slowest.min(said.len() - replay.min(said.len()));
                prop_assert!(backlog.bytes.len() >= needed);
                let behind = places.values().filter(|at| **at < said.len()).count();
                prop_assert_eq!(backlog.behind, behind);
            }
        }
    }
}
