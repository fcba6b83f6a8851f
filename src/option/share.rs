//! Options of one channel for many clients.

crate::options! {}
