//! Options of connections that are made again.

crate::options! {}
