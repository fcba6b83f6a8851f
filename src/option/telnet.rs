//! Options of telnet and RFC 2217.

crate::options! {}
