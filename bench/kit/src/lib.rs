//! What the programs share that measure and publish.
//!
//! | module | story |
//! | --- | --- |
//! | [`machine`] | where was measured, and at which commit |
//! | [`child`] | processes that are spoken to by lines of JSON and never left behind |
//! | [`page`] | results as a part of a page of the book |
//! | [`svg`] | pictures of results |
//! | [`number`] | numbers for people |

pub mod child;
pub mod machine;
pub mod number;
pub mod page;
pub mod svg;
