//! The thread that writes: takes what waits, renders it, and begins new files.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::output::Output;
use super::pcapng::Packets;
use super::queue::{Batch, Entry, Queue, What};
use super::render::{Record, Render, TAIL};
use super::text::{Lines, Look};
use super::{Format, Session};

/// So many bytes are written in one go.
const BLOCK: usize = 256 << 10;

/// A session under way.
struct Live {
    session: Arc<Session>,
    /// The last file that says who it is.
    file: u64,
}

/// Writes what the queue gives.
pub(super) struct Writer {
    queue: Arc<Queue>,
    output: Output,
    render: Box<dyn Render>,
    /// By number.
    live: BTreeMap<u64, Live>,
    /// Rendered and not yet written: whole records.
    pending: Vec<u8>,
    /// Counts files.
    file: u64,
    /// The file holds more than its head.
    has_records: bool,
}

impl Writer {
    pub(super) fn new(output: Output, format: Format, title: &str, queue: Arc<Queue>) -> Self {
        let render: Box<dyn Render> = match format {
            Format::Text => Box::new(Lines::new(title, Look::Escaped)),
            Format::Hex => Box::new(Lines::new(title, Look::Rows)),
            Format::Pcapng => Box::new(Packets::new(title)),
        };
        let has_records = output.length() > 0;
        Self { queue, output, render, live: BTreeMap::new(), pending: Vec::new(), file: 1, has_records }
    }

    /// Writes until no more comes.
    ///
    /// # Errors
    /// What cannot be written ends the capture; what was written is whole.
    pub(super) fn run(mut self) -> io::Result<()> {
        // Also when this thread panics: nobody waits for it then.
        let _over = Over(Arc::clone(&self.queue));
        let mut batch = Batch::default();
        self.render.head(&mut self.pending);
        self.flush()?;
        while self.queue.take(&mut batch) {
            let mut bytes = &batch.bytes[..];
            for entry in &batch.entries {
                let length = if let What::Bytes { length, .. } = entry.what { length } else { 0 };
                let (piece, rest) = bytes.split_at(length);
                bytes = rest;
                self.entry(entry, piece)?;
            }
            self.flush()?;
            batch.clear();
        }
        self.finish()
    }

    fn entry(&mut self, entry: &Entry, bytes: &[u8]) -> io::Result<()> {
        let (time, session) = (entry.time, &entry.session);
        let record = match &entry.what {
            What::Begins => Record::Begins,
            What::Bytes { toward, offset, .. } => Record::Bytes { toward: *toward, offset: *offset, bytes },
            What::Ends(toward) => Record::Ends(*toward),
            What::Closes(end) => Record::Closes { in_order: end.0, words: &end.1 },
            What::Missing { blocks, bytes } => {
                self.render.missing(&mut self.pending, time, *blocks, *bytes);
                return Ok(());
            }
        };
        self.record(time, session, &record)
    }

    fn record(&mut self, time: u64, session: &Arc<Session>, record: &Record<'_>) -> io::Result<()> {
        let room = self.render.room(session, record) + self.render.room(session, &Record::GoesOn) + TAIL;
        if self.has_records && self.output.is_full(self.pending.len() + room) {
            self.render.tail(&mut self.pending, time);
            self.flush()?;
            self.output.turn()?;
            self.file += 1;
            self.render.head(&mut self.pending);
        }
        let live = self.live.entry(session.number).or_insert_with(|| Live { session: Arc::clone(session), file: 0 });
        if std::mem::replace(&mut live.file, self.file) != self.file && !matches!(record, Record::Begins) {
            self.render.record(&mut self.pending, time, session, &Record::GoesOn);
        }
        self.render.record(&mut self.pending, time, session, record);
        if matches!(record, Record::Closes { .. }) {
            self.live.remove(&session.number);
        }
        self.has_records = true;
        if self.pending.len() >= BLOCK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let queue = &self.queue;
        self.output.write(&self.pending, &|| queue.is_closing())?;
        queue.add_written(self.pending.len());
        self.pending.clear();
        Ok(())
    }

    /// The relay is over. Sessions that have not ended were dropped with it.
    fn finish(&mut self) -> io::Result<()> {
        let time = self.queue.now();
        let sessions: Vec<_> = self.live.values().map(|live| Arc::clone(&live.session)).collect();
        for session in sessions {
            self.record(time, &session, &Record::Closes { in_order: false, words: "broken off" })?;
        }
        self.render.tail(&mut self.pending, time);
        self.flush()
    }
}

/// Ends the queue when dropped.
struct Over(Arc<Queue>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.end();
    }
}
