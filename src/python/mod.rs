//! The only code that names PyO3.
