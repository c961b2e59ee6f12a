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

/// An error and its causes in one line.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = chain.map(ToString::to_string).collect();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_error_is_told_with_what_caused_it() {
        let inner = std::io::Error::other("the disk is full");
        let outer = crate::page::PageError::File("x.md".into(), inner);
        let text = super::causes(&outer);
        assert!(
            text.contains("x.md") && text.ends_with(": the disk is full"),
            "{text}"
        );
    }
}
