//! p
mod log;
