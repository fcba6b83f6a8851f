//! Options of one channel for many clients. Each of them implies `share`, and that implies `fork`.

use super::listen::limit;
use super::{Busy, Opened, Settings, ShareAccess, Slow, Value};

/// The settings of a shared listener.
fn shared(settings: &mut Settings) -> &mut super::ShareSettings {
    settings.life.fork = true;
    settings.share.opened.get_or_insert(Opened::AtStart);
    &mut settings.share
}

/// The choice a word stands for.
fn choice<T: Copy>(value: &Value, choices: &[(&str, T)]) -> Result<T, String> {
    let word = value.text()?;
    let found = choices.iter().find(|(name, _)| *name == word);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        format!("\"{word}\" is none of {}", names.join(", "))
    })
}

fn share(settings: &mut Settings, value: &Value) -> Result<(), String> {
    let opened = match value {
        Value::None => Opened::AtStart,
        value => choice(value, &[("start", Opened::AtStart), ("lazy", Opened::WithClients)])?,
    };
    shared(settings).opened = Some(opened);
    Ok(())
}

fn access(settings: &mut Settings, value: &Value) -> Result<(), String> {
    let choices = [("ro", ShareAccess::ReadOnly), ("rw", ShareAccess::ReadWrite), ("lease", ShareAccess::Lease)];
    shared(settings).access = choice(value, &choices)?;
    Ok(())
}

fn slow(settings: &mut Settings, value: &Value) -> Result<(), String> {
    shared(settings).slow = choice(value, &[("drop", Slow::Drop), ("kick", Slow::Kick), ("wait", Slow::Wait)])?;
    Ok(())
}

fn queue(settings: &mut Settings, value: &Value) -> Result<(), String> {
    let bytes: usize = value.number()?;
    if bytes == 0 {
        return Err("a queue of no bytes would lose everything".to_owned());
    }
    shared(settings).queue = bytes;
    Ok(())
}

fn replay(settings: &mut Settings, value: &Value) -> Result<(), String> {
    shared(settings).replay = value.number()?;
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "the signature is that of Apply::Plan")]
fn lease(settings: &mut Settings, value: &Value) -> Result<(), String> {
    shared(settings).lease = limit(value);
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "the signature is that of Apply::Plan")]
fn restore(settings: &mut Settings, value: &Value) -> Result<(), String> {
    shared(settings).restore = value.is_true();
    Ok(())
}

fn busy(settings: &mut Settings, value: &Value) -> Result<(), String> {
    let choices = [("wait", Busy::Wait), ("refuse", Busy::Refuse), ("kick", Busy::Kick)];
    settings.life.busy = Some(choice(value, &choices)?);
    Ok(())
}

crate::options! {
    /// What becomes of a client that comes while `max-children` are served, or one if that is not given: `wait`
    /// lets it wait to be accepted, as without this option; `refuse` closes it at once, before a byte; `kick`
    /// closes the one that is served longest and serves the new one. Needs `fork` or `share`.
    "busy" : Text, LISTEN, PastAccept => Plan(busy);
    /// With `share-access=lease`: seconds of silence after which a client loses the right to write to the next
    /// one that does; 10 by default, 0 leaves it until it goes.
    "lease-time" : Timeval, LISTEN, PastAccept => Plan(lease);
    /// Serve any number of clients with one channel of the other address: what it says goes to all of them, what
    /// they say goes to it, block by block. It is opened when the relay starts; with `lazy` when the first
    /// client comes, and closed when the last one leaves. Implies `fork`.
    "share" : TextOrNone, LISTEN, PastAccept => Plan(share);
    /// Which clients of a shared channel may write: `rw` all of them (the default), `ro` none, `lease` one at a
    /// time, from its first byte until it leaves or is silent for `lease-time`. Bytes of the others are dropped,
    /// counted as discarded and told; their changes of a serial line are not made. Implies `share`.
    "share-access" : Text, LISTEN, PastAccept => Plan(access);
    /// Most bytes that wait for one client of a shared channel; 262144 by default. Implies `share`.
    "share-queue" : Size, LISTEN, PastAccept => Plan(queue);
    /// A client of a shared channel gets the last so many bytes of it first; none by default. Implies `share`.
    "share-replay" : Size, LISTEN, PastAccept => Plan(replay);
    /// When the last client of a shared channel has left, the settings of its serial line become what they were
    /// when it was opened. Implies `share`.
    "share-restore" : Bool, LISTEN, PastAccept => Plan(restore);
    /// What happens when `share-queue` bytes wait for a client: `drop` loses the oldest of them, for this client
    /// alone, and counts them as discarded; `kick` closes it; `wait` does not read the shared channel on until
    /// there is room, so that nothing is lost and the slowest sets the pace. `drop` by default. Implies `share`.
    "share-slow" : Text, LISTEN, PastAccept => Plan(slow);
}
