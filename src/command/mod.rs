//! The socat command line: switches, help, exit codes.
