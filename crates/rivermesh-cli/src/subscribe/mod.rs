//! `rivermesh sub`.

mod print;
