//! Every `unsafe` block of the crate, and what nix and socket2 have no safe call for. Each block says why
//! it is sound.
#![allow(unsafe_code, reason = "this is the one place for it")]

pub mod disposition;
pub mod fd;
pub mod file;
pub mod identity;
pub mod io;
pub mod ioctl;
pub mod lock;
pub mod multicast;
pub mod process;
pub mod resolver;
pub mod socket;
pub mod sockopt;
pub mod terminal;
pub mod termios;
pub mod time;
