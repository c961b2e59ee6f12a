//! `rivermesh pub`.

mod pump;
