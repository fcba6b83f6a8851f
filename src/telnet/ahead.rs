//! What was taken from the connection and not passed on yet: data, and between them what is to be done when the data
//! before it are written.

use std::collections::VecDeque;

use super::comport::Message;
use super::server::{keeps_its_place, purges_data};

/// Something to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// A request of RFC 2217.
    Request(Message<'static>),
    /// The break key: a short break.
    Break,
}

impl Order {
    fn keeps_its_place(&self) -> bool {
        match self {
            Self::Request(request) => keeps_its_place(request),
            Self::Break => true,
        }
    }

    fn purges_data(&self) -> bool {
        matches!(self, Self::Request(request) if purges_data(request))
    }
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// What has no data before it any more.
    Due,
    /// What need not wait for data.
    Free,
    /// Whatever there is: data have been stuck for too long.
    All,
}

#[derive(Debug)]
struct Waiting {
    /// Bytes that came before it.
    place: u64,
    order: Order,
    /// The data it wants dropped were dropped.
    purged: bool,
}

/// Data and orders, in their order.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    data: Vec<u8>,
    start: usize,
    orders: VecDeque<Waiting>,
    /// Bytes passed on so far.
    given: u64,
}

impl Ahead {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.data.len() - self.start
    }

    /// Orders that wait.
    pub fn orders(&self) -> usize {
        self.orders.len()
    }

    /// Whether nothing waits.
    pub fn is_idle(&self) -> bool {
        self.len() == 0 && self.orders.is_empty()
    }

    /// Adds data; the place where they are is returned, for those who have something to take away.
    pub fn push(&mut self, data: &[u8], change: impl FnOnce(&mut [u8]) -> usize) {
        let before = self.data.len();
        self.data.extend_from_slice(data);
        let kept = change(&mut self.data[before..]);
        self.data.truncate(before + kept);
    }

    /// Adds an order behind all data so far.
    pub fn order(&mut self, order: Order) {
        let place = self.given + self.len() as u64;
        self.orders.push_back(Waiting { place, order, purged: false });
    }

    /// The data before the next order.
    pub fn data(&self) -> &[u8] {
        let data = &self.data[self.start..];
        let limit = self.orders.front().map_or(u64::MAX, |next| next.place.saturating_sub(self.given));
        &data[..data.len().min(usize::try_from(limit).unwrap_or(usize::MAX))]
    }

    /// Takes data away that were passed on, or are not wanted any more.
    pub fn pass(&mut self, count: usize) {
        self.start += count;
        self.given += count as u64;
        if self.start == self.data.len() {
            // Nothing is kept while idle.
            self.data = Vec::new();
            self.start = 0;
        }
    }

    /// The next order, if it is its turn. It stays.
    pub fn next(&self, turn: Turn) -> Option<Order> {
        let next = self.orders.front()?;
        let now = match turn {
            Turn::Due => next.place <= self.given,
            Turn::Free => !next.order.keeps_its_place(),
            Turn::All => true,
        };
        now.then_some(next.order)
    }

    /// Takes the next order away.
    pub fn done(&mut self) {
        self.orders.pop_front();
        if self.orders.is_empty() {
            self.orders = VecDeque::new();
        }
    }

    /// Drops the data before the last order that wants them dropped. True if there is one, once.
    pub fn purge(&mut self) -> bool {
        let mut waiting = self.orders.iter_mut().rev();
        let Some(last) = waiting.find(|waiting| waiting.order.purges_data() && !waiting.purged) else { return false };
        last.purged = true;
        let count = usize::try_from(last.place.saturating_sub(self.given)).unwrap_or(usize::MAX);
        self.pass(count.min(self.len()));
        true
    }
}
