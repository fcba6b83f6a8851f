//! Buffers, taken when bytes are in flight and given back when a channel is idle.
//!
//! A relay with thousands of idle connections holds no buffers at all; a busy one reuses a few that are
//! warm in the cache. The pool belongs to the thread, so there is nothing to lock.
//!
//! Buffers begin at the start of a page: files opened with `o-direct` take no others (open(2), `O_DIRECT`).

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// What a direction starts with, in bytes.
pub const SMALL: usize = 16 * 1024;
/// What a direction grows to when reads fill its buffer. Not 64 KiB: on loopback, whose segments are a
/// little smaller, that size halves the throughput (docs/performance.md).
pub const LARGE: usize = 256 * 1024;

/// What buffers are aligned to, in bytes. No file system asks for more: `O_DIRECT` wants the logical block
/// size of the device, 512 or 4096.
pub(crate) const ALIGNMENT: usize = 4096;

/// Most buffers kept for later, by size.
const KEPT: [(usize, usize); 2] = [(SMALL, 64), (LARGE, 16)];

thread_local! {
    static FREE: RefCell<[Vec<Block>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Memory that is a little larger than asked for, so that it holds an aligned part of the right size.
#[derive(Debug, Default)]
struct Block {
    bytes: Box<[u8]>,
    /// Where the aligned part begins; the memory never moves.
    start: usize,
}

impl Block {
    fn new(size: usize) -> Self {
        let bytes = vec![0; size + ALIGNMENT].into_boxed_slice();
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { bytes, start }
    }

    fn size(&self) -> usize {
        self.bytes.len().saturating_sub(ALIGNMENT)
    }
}

/// A page-aligned buffer that goes back to the pool when dropped.
#[derive(Debug)]
pub struct Buffer {
    block: Block,
}

impl Buffer {
    /// A buffer of at least `size` bytes: of [`SMALL`] or [`LARGE`] ones, some of which are kept, or else of
    /// just `size`. Its content is arbitrary, from earlier use, and never read before it is written.
    pub fn take(size: usize) -> Self {
        let Some(class) = KEPT.iter().position(|(kept, _)| *kept >= size) else {
            return Self { block: Block::new(size) };
        };
        let kept = FREE.try_with(|free| free.borrow_mut()[class].pop()).ok().flatten();
        Self { block: kept.unwrap_or_else(|| Block::new(KEPT[class].0)) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.block);
        if let Some(class) = KEPT.iter().position(|(kept, _)| *kept == block.size()) {
            // At the end of a thread the pool may be gone already; then the buffer is freed.
            let _ = FREE.try_with(|free| {
                let free = &mut free.borrow_mut()[class];
                if free.len() < KEPT[class].1 {
                    free.push(block);
                }
            });
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.block.bytes[self.block.start..][..self.block.size()]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let size = self.block.size();
        &mut self.block.bytes[self.block.start..][..size]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_hold_what_was_asked_for_and_begin_a_page() {
        // Held together, so that none is a used one; odd sizes are what `-b` may ask for.
        let sizes = [1, 13, 511, 8192, SMALL, SMALL, SMALL + 1, LARGE, LARGE, LARGE + 1];
        let buffers = sizes.map(Buffer::take);
        for (buffer, size) in buffers.iter().zip(sizes) {
            assert!(buffer.len() >= size);
            assert_eq!(buffer.as_ptr().align_offset(ALIGNMENT), 0, "{size}");
        }
    }

    #[test]
    fn a_used_buffer_is_taken_again() {
        let mut buffer = Buffer::take(SMALL);
        let place = buffer.as_ptr();
        buffer[SMALL - 1] = 7;
        drop(buffer);
        let again = Buffer::take(SMALL);
        assert_eq!((again.as_ptr(), again[SMALL - 1], again.len()), (place, 7, SMALL));
    }
}
