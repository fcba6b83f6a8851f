//! The socat command line: switches, help, dumps, signals, exit codes; and what a command line means, in words.

mod capture;
mod descriptors;
mod dump;
mod environment;
pub mod explain;
mod file_name;
mod help;
mod logging;
mod numbers;
mod run;
mod runtime;
mod signals;
mod statistics;
pub mod switches;
mod version;

pub use run::main;
pub use runtime::relay_runtime;
pub use version::SOCAT_VERSION;
