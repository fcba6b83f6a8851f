//! TELNET (RFC 854) and its option for serial ports (RFC 2217), without I/O.
//!
//! [`codec`] takes a stream apart into data, commands and subnegotiations and writes them; [`negotiation`] decides
//! what is agreed on; [`comport`] gives the subnegotiations of RFC 2217 their meaning, for either role.

pub mod codec;
pub mod comport;
pub mod negotiation;
