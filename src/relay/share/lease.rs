//! Which clients may write to the device, and set its line.

use tokio::time::Instant;

use super::hub::{Hub, State};
use crate::option::{ShareAccess, ShareSettings};
use crate::{notice, warning};

/// The right to write.
pub struct Lease {
    pub holder: u64,
    /// When it wrote last.
    pub last: Instant,
}

impl Hub {
    /// Whether a client may write now; with a lease it takes it by that.
    pub fn may_write(&self, client: u64) -> bool {
        let mut state = self.lock();
        if !self.is_free(&state, client) {
            return false;
        }
        if self.manner.settings.access == ShareAccess::Lease {
            let before = state.lease.replace(Lease { holder: client, last: Instant::now() });
            if before.is_none_or(|lease| lease.holder != client) {
                notice!(self.log, "client {client} has the right to write");
            }
        }
        true
    }

    /// Whether a client may set the line now.
    pub fn may_set(&self, client: u64) -> bool {
        self.is_free(&self.lock(), client)
    }

    fn is_free(&self, state: &State, client: u64) -> bool {
        let ShareSettings { access, lease: silence, .. } = self.manner.settings;
        match (access, &state.lease) {
            (ShareAccess::ReadOnly, _) => false,
            (ShareAccess::ReadWrite, _) | (ShareAccess::Lease, None) => true,
            (ShareAccess::Lease, Some(lease)) => {
                lease.holder == client || silence.is_some_and(|limit| lease.last.elapsed() >= limit)
            }
        }
    }

    /// Counts bytes of a client that may not write.
    pub fn refuse(&self, client: u64, bytes: u64) {
        self.tallies().1.discard(bytes);
        let mut state = self.lock();
        let holder = state.lease.as_ref().map(|lease| lease.holder);
        let Some(seat) = state.seats.get_mut(&client) else { return };
        seat.refused += bytes;
        if seat.refused > bytes {
            return;
        }
        let name = seat.name(client);
        drop(state);
        let reason = holder.map_or("(share-access=ro)".to_owned(), |holder| format!("while client {holder} does"));
        warning!(self.log, "{name} may not write {reason}: its bytes are dropped");
    }
}
