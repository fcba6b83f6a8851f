//! What a relay has to do with a capture: opened with the relay, told of each session.

use std::borrow::Cow;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::Relay;
use super::report::Ended;
use super::session::Outcome;
use crate::capture::{Capture, Recording, Side, Toward};
use crate::channel::{Channel, Tap};
use crate::endpoint::{Opener, Plan, Planned};
use crate::error::Result;

/// Ends the capture of a relay when dropped.
pub(super) struct Capturing<'a>(&'a Relay);

impl Drop for Capturing<'_> {
    fn drop(&mut self) {
        let capture = self.0.captured().take();
        drop(capture);
    }
}

impl Relay {
    /// Opens the capture, if one is wanted.
    pub(super) fn begin_capture(&self) -> Result<Capturing<'_>> {
        if let Some(settings) = &self.settings.capture {
            let title = format!("{} <-> {}", self.left.address, self.right.address);
            let capture = Capture::open(settings, &title, &self.log)?;
            *self.captured() = Some(capture);
        }
        Ok(Capturing(self))
    }

    /// What records a session between two channels that still have their ends.
    pub(super) fn recording(&self, left: &Channel, right: &Channel) -> Option<Box<Recording>> {
        self.settings.capture.as_ref()?;
        let side = |channel: &Channel, plan: &Plan| Side::of(channel, &plan.address, accepts(plan));
        let (left, right) = (side(left, &self.left), side(right, &self.right));
        self.captured().as_ref().map(|capture| Box::new(capture.session(&left, &right)))
    }

    fn captured(&self) -> MutexGuard<'_, Option<Capture>> {
        self.capture.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether its peers come by themselves.
fn accepts(plan: &Plan) -> bool {
    match &plan.planned {
        Planned::Single(endpoint) => matches!(endpoint.opener, Opener::Bind(_)),
        Planned::Dual(halves) => matches!(halves.0.opener, Opener::Bind(_)),
    }
}

/// The taps of one direction, with the one that records it.
pub(super) fn with_recording<'a>(
    taps: &'a [Arc<dyn Tap>],
    recording: Option<&Recording>,
    toward: Toward,
) -> Cow<'a, [Arc<dyn Tap>]> {
    match recording {
        None => Cow::Borrowed(taps),
        Some(recording) => Cow::Owned(taps.iter().cloned().chain([recording.tap(toward)]).collect()),
    }
}

/// Says in a capture how a session ended.
pub(super) fn conclude(recording: Recording, outcome: &Outcome) {
    let lost = outcome.right.undelivered + outcome.left.undelivered;
    let in_order = outcome.error.is_none() && lost == 0 && outcome.ended != Ended::Stopped;
    let (right, left) = (outcome.right.bytes, outcome.left.bytes);
    let mut words = format!("{}, {right} bytes to the right, {left} to the left", outcome.ended.word());
    if let Some(error) = &outcome.error {
        words.push_str("; ");
        words.push_str(&error.line());
    }
    recording.ended(in_order, words);
}
