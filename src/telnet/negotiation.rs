//! What two ends of a TELNET connection agree to use: the method "Q" of RFC 1143, which cannot loop.

use super::codec::Verb;

/// How often options nobody here knows are refused on one connection. A peer that asks more often does so because
/// it was refused.
const REFUSALS: u16 = 256;

/// Which end uses an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// This one: WILL is said here, DO there.
    Near,
    /// The other one: WILL is said there, DO here.
    Far,
}

/// Where an option stands for one end. RFC 1143, section 7, with its queue bit as a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    No,
    Yes,
    /// Asked for, not answered.
    WantYes,
    /// Asked for, and then not wanted any more.
    WantYesThenNo,
    /// Given up, not answered.
    WantNo,
    /// Given up, and then wanted again.
    WantNoThenYes,
}

#[derive(Debug, Clone, Copy)]
struct Side {
    option: u8,
    end: End,
    state: State,
    refused: bool,
}

/// What became of a word from the far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heard {
    /// What is to be sent.
    pub reply: Option<[u8; 3]>,
    /// An option is used now (true) or not any more, by this end.
    pub changed: Option<(End, bool)>,
}

/// The options of one connection.
#[derive(Debug, Clone, Default)]
pub struct Negotiation {
    /// The options that may be used; all others are refused.
    sides: Vec<Side>,
    refusals: u16,
}

impl Negotiation {
    /// Agrees when the far end wants `end` to use `option`.
    pub fn allow(&mut self, option: u8, end: End) {
        if self.side(option, end).is_none() {
            self.sides.push(Side { option, end, state: State::No, refused: false });
        }
    }

    /// Wants `end` to use `option`; returns what is to be sent.
    pub fn ask(&mut self, option: u8, end: End) -> Option<[u8; 3]> {
        self.allow(option, end);
        let side = self.side(option, end)?;
        let (state, verb) = match side.state {
            State::No => (State::WantYes, Some(wish(end, true))),
            State::WantNo => (State::WantNoThenYes, None),
            State::WantYesThenNo => (State::WantYes, None),
            state => (state, None),
        };
        side.state = state;
        verb.map(|verb| verb.bytes(option))
    }

    /// Does not want `end` to use `option` any more; returns what is to be sent.
    pub fn give_up(&mut self, option: u8, end: End) -> Option<[u8; 3]> {
        let side = self.side(option, end)?;
        let (state, verb) = match side.state {
            State::Yes => (State::WantNo, Some(wish(end, false))),
            State::WantYes => (State::WantYesThenNo, None),
            State::WantNoThenYes => (State::WantNo, None),
            state => (state, None),
        };
        side.state = state;
        verb.map(|verb| verb.bytes(option))
    }

    /// Takes a word from the far end.
    pub fn hear(&mut self, verb: Verb, option: u8) -> Heard {
        let (end, on) = match verb {
            Verb::Will => (End::Far, true),
            Verb::Wont => (End::Far, false),
            Verb::Do => (End::Near, true),
            Verb::Dont => (End::Near, false),
        };
        let Some(side) = self.side(option, end) else {
            // A refusal needs no answer: that is what keeps two ends from refusing for ever.
            let refuse = on && self.refusals < REFUSALS;
            self.refusals += u16::from(refuse);
            return Heard { reply: refuse.then(|| wish(end, false).bytes(option)), changed: None };
        };
        let was = side.state == State::Yes;
        let (state, reply) = if on { heard_yes(side.state) } else { heard_no(side.state) };
        side.state = state;
        side.refused = !on;
        let changed = (was != (state == State::Yes)).then_some((end, state == State::Yes));
        Heard { reply: reply.map(|on| wish(end, on).bytes(option)), changed }
    }

    /// Whether both have agreed that `end` uses `option`.
    #[must_use]
    pub fn is_on(&self, option: u8, end: End) -> bool {
        self.state(option, end) == State::Yes
    }

    /// Whether it is agreed on, or asked for and not refused yet.
    #[must_use]
    pub fn is_hoped_for(&self, option: u8, end: End) -> bool {
        matches!(self.state(option, end), State::Yes | State::WantYes)
    }

    /// Whether the far end has said no.
    #[must_use]
    pub fn is_refused(&self, option: u8, end: End) -> bool {
        self.sides.iter().any(|side| (side.option, side.end, side.refused) == (option, end, true))
    }

    fn state(&self, option: u8, end: End) -> State {
        let side = self.sides.iter().find(|side| (side.option, side.end) == (option, end));
        side.map(|side| side.state).unwrap_or_default()
    }

    fn side(&mut self, option: u8, end: End) -> Option<&mut Side> {
        self.sides.iter_mut().find(|side| (side.option, side.end) == (option, end))
    }
}

/// How it is said that `end` is to use an option, or not.
const fn wish(end: End, on: bool) -> Verb {
    match (end, on) {
        (End::Near, true) => Verb::Will,
        (End::Near, false) => Verb::Wont,
        (End::Far, true) => Verb::Do,
        (End::Far, false) => Verb::Dont,
    }
}

/// The state after WILL or DO, and what is answered.
const fn heard_yes(state: State) -> (State, Option<bool>) {
    match state {
        State::No => (State::Yes, Some(true)),
        State::Yes | State::WantYes | State::WantNoThenYes => (State::Yes, None),
        // Our refusal was answered with a wish: an error of the far end; ours stands.
        State::WantNo => (State::No, None),
        State::WantYesThenNo => (State::WantNo, Some(false)),
    }
}

/// The state after WONT or DONT, and what is answered.
const fn heard_no(state: State) -> (State, Option<bool>) {
    match state {
        State::Yes => (State::No, Some(false)),
        State::WantNoThenYes => (State::WantYes, Some(true)),
        State::No | State::WantYes | State::WantYesThenNo | State::WantNo => (State::No, None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::super::codec::{Event, Parser, option};
    use super::*;

    #[test]
    fn what_is_allowed_is_agreed_to_once() {
        let mut near = Negotiation::default();
        near.allow(option::COM_PORT, End::Far);
        let heard = near.hear(Verb::Will, option::COM_PORT);
        assert_eq!(heard, Heard { reply: Some([255, 253, 44]), changed: Some((End::Far, true)) });
        assert_eq!(near.hear(Verb::Will, option::COM_PORT), Heard::default());
        assert!(near.is_on(option::COM_PORT, End::Far) && !near.is_on(option::COM_PORT, End::Near));
        let heard = near.hear(Verb::Wont, option::COM_PORT);
        assert_eq!(heard, Heard { reply: Some([255, 254, 44]), changed: Some((End::Far, false)) });
    }

    #[test]
    fn unknown_options_are_refused_and_refusals_are_not_answered() {
        let mut near = Negotiation::default();
        assert_eq!(near.hear(Verb::Do, 47).reply, Some(Verb::Wont.bytes(47)));
        assert_eq!(near.hear(Verb::Will, 47).reply, Some(Verb::Dont.bytes(47)));
        assert_eq!(near.hear(Verb::Wont, 47).reply, None);
        assert_eq!(near.hear(Verb::Dont, 47).reply, None);
        let refused = (0..1000).filter(|_| near.hear(Verb::Do, 47).reply.is_some()).count();
        assert!(refused < 300, "{refused}");
    }

    #[test]
    fn a_wish_that_was_refused_is_known() {
        let mut near = Negotiation::default();
        assert_eq!(near.ask(option::BINARY, End::Near), Some(Verb::Will.bytes(0)));
        assert_eq!(near.ask(option::BINARY, End::Near), None);
        assert!(near.is_hoped_for(option::BINARY, End::Near) && !near.is_refused(option::BINARY, End::Near));
        assert_eq!(near.hear(Verb::Dont, option::BINARY), Heard::default());
        assert!(!near.is_hoped_for(option::BINARY, End::Near) && near.is_refused(option::BINARY, End::Near));
    }

    #[test]
    fn a_change_of_mind_waits_for_the_answer() {
        let mut near = Negotiation::default();
        near.ask(option::ECHO, End::Far).unwrap();
        assert_eq!(near.give_up(option::ECHO, End::Far), None);
        assert_eq!(near.hear(Verb::Will, option::ECHO).reply, Some(Verb::Dont.bytes(1)));
        assert_eq!(near.ask(option::ECHO, End::Far), None);
        assert_eq!(near.hear(Verb::Wont, option::ECHO).reply, Some(Verb::Do.bytes(1)));
        assert_eq!(near.hear(Verb::Will, option::ECHO).changed, Some((End::Far, true)));
        assert_eq!(near.give_up(option::ECHO, End::Far), Some(Verb::Dont.bytes(1)));
    }

    proptest! {
        /// Two ends with any wishes come to rest, and to the same view of who uses what.
        #[test]
        fn two_ends_agree_and_fall_silent(wishes in proptest::collection::vec((any::<bool>(), 0..3_u8, any::<bool>(),
                                                                               any::<bool>(), any::<bool>()), 0..20)) {
            let mut ends = [Negotiation::default(), Negotiation::default()];
            ends[0].allow(0, End::Near);
            ends[0].allow(1, End::Far);
            ends[1].allow(1, End::Near);
            let mut wires: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
            let mut parsers = [Parser::default(), Parser::default()];
            let mut deliver = |ends: &mut [Negotiation; 2], wires: &mut [Vec<u8>; 2], from: usize| {
                let block = std::mem::take(&mut wires[from]);
                let mut block = &block[..];
                while let Some(event) = parsers[from].next(&mut block) {
                    if let Event::Negotiate(verb, option) = event {
                        let heard = ends[1 - from].hear(verb, option);
                        wires[1 - from].extend(heard.reply.into_iter().flatten());
                    }
                }
            };
            for (second, option, near, ask, deliver_now) in wishes {
                let end = if near { End::Near } else { End::Far };
                let who = usize::from(second);
                let said = if ask { ends[who].ask(option, end) } else { ends[who].give_up(option, end) };
                wires[who].extend(said.into_iter().flatten());
                if deliver_now {
                    deliver(&mut ends, &mut wires, who);
                }
            }
            for _ in 0..100 {
                for from in 0..2 {
                    deliver(&mut ends, &mut wires, from);
                }
            }
            prop_assert!(wires.iter().all(Vec::is_empty), "they never stop");
            for option in 0..3 {
                prop_assert_eq!(ends[0].is_on(option, End::Near), ends[1].is_on(option, End::Far));
                prop_assert_eq!(ends[0].is_on(option, End::Far), ends[1].is_on(option, End::Near));
            }
        }
    }
}
