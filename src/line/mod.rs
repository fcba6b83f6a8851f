//! WHAT GOES BESIDE THE BYTES: the settings and signals of a serial line, without a word on where the line is.
//!
//! A channel whose far end is a line offers a [`Line`]: a UART, the UART behind a network connection, the
//! terminal behind a pseudo terminal. A channel through which somebody wants to set a line has a [`Control`]: a
//! client that speaks RFC 2217, a program that sets the speed of a pseudo terminal. A session gives the line of
//! one side to the control of the other ([`join`]); from then on they need neither the session nor each other's
//! kind.
//!
//! All of it is called while the bytes are read and written, so that a command keeps its place between them:
//! see [`Source::poll_beside`](crate::channel::Source::poll_beside).

mod imagined;
pub use uart::{Abilities, Uart};
pub use uart_close::Closing;
pub use uart_ends::{UartSink, UartSource};
