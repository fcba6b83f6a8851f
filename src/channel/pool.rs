//! Buffers, taken when bytes are in flight and given back when a channel is idle.
//!
//! A relay with thousands of idle connections holds no buffers at all; a busy one reuses a few that are
//! warm in the cache. The pool belongs to the thread, so there is nothing to lock.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// What a direction starts with, in bytes.
pub const SMALL: usize = 16 * 1024;
/// What a direction grows to when reads fill its buffer. Not 64 KiB: on loopback, whose segments are a
/// little smaller, that size halves the throughput (docs/performance.md).
pub const LARGE: usize = 256 * 1024;

/// Most buffers kept for later, by size.
const KEPT: [(usize, usize); 2] = [(SMALL, 64), (LARGE, 16)];

thread_local! {
    static FREE: RefCell<[Vec<Box<[u8]>>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// A buffer that goes back to the pool when dropped.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
}

impl Buffer {
    /// A buffer of `size` bytes; of [`SMALL`] and [`LARGE`] ones some are kept. Its content is arbitrary,
    /// from earlier use, and never read before it is written.
    pub fn take(size: usize) -> Self {
        let kept = class(size).and_then(|class| FREE.try_with(|free| free.borrow_mut()[class].pop()).ok().flatten());
        Self { bytes: kept.unwrap_or_else(|| vec![0; size].into_boxed_slice()) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if let Some(class) = class(bytes.len()) {
            // At the end of a thread the pool may be gone already; then the buffer is freed.
            let _ = FREE.try_with(|free| {
                let free = &mut free.borrow_mut()[class];
                if free.len() < KEPT[class].1 {
                    free.push(bytes);
                }
            });
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

fn class(size: usize) -> Option<usize> {
    KEPT.iter().position(|(kept, _)| *kept == size)
}
