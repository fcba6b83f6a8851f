//! Options of serial ports.

crate::options! {}
