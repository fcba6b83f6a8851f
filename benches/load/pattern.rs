//! The bytes of every bulk stream, which a sink can check at any offset.

use std::io::Write as _;
use std::sync::LazyLock;

use crate::Failure;
use crate::load::arguments::Arguments;
use crate::load::endpoint::Service;

/// The most bytes of one write.
pub const CHUNK: usize = 256 * 1024;
/// After this many bytes the pattern starts again. A prime, so that bytes lost, doubled or exchanged in
/// pages, pipes or buffers of any usual size show.
const PERIOD: usize = 61_441;
/// How many bytes at each end of a read are compared: enough to show a shift, and nearly free.
const EDGE: usize = 8;

/// One chunk from every place of the period.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let period: Vec<u8> = (0..PERIOD).map(|_| next()).collect();
    period.iter().copied().cycle().take(PERIOD + CHUNK).collect()
});

/// What follows the first `offset` bytes of a stream.
pub fn at(offset: u64) -> &'static [u8] {
    let place = usize::try_from(offset % PERIOD as u64).unwrap_or_default();
    &BYTES[place..][..CHUNK]
}

/// Whether the ends of a read of at most [`CHUNK`] bytes are what belongs at `offset`.
pub fn agrees(offset: u64, bytes: &[u8]) -> bool {
    let expected = &at(offset)[..bytes.len()];
    let edge = EDGE.min(bytes.len());
    let tail = bytes.len() - edge;
    bytes[..edge] == expected[..edge] && bytes[tail..] == expected[tail..]
}

/// Writes one stream for a sink to stdout: the byte that asks for it, then `--bytes` of the pattern.
pub fn emit(arguments: &mut Arguments) -> Result<(), Failure> {
    let total: u64 = arguments.required("bytes")?;
    arguments.finish()?;
    let mut out = std::fs::File::from(std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned()?);
    out.write_all(&[Service::Sink.byte()])?;
    let mut offset = 0;
    while offset < total {
        let rest = usize::try_from(total - offset)?.min(CHUNK);
        out.write_all(&at(offset)[..rest])?;
        offset += rest as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_read_does_not_agree() {
        let bytes = at(70_000)[..5000].to_vec();
        assert!(agrees(70_000, &bytes));
        assert!(!agrees(70_001, &bytes));
        assert!(!agrees(70_000 - 4096, &bytes));
    }

    #[test]
    fn a_byte_lost_inside_shows_at_the_end() {
        let mut bytes = at(0)[..5000].to_vec();
        bytes.remove(2500);
        assert!(!agrees(0, &bytes));
    }
}
