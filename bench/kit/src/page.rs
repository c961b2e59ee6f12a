//! Results as a part of a page of the book.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Results could not be published. The page is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PageError {
    /// A file cannot be read or written.
    #[error("cannot read or write {0}")]
    File(PathBuf, #[source] io::Error),
    /// The page does not say where.
    #[error("{0} lacks the lines {1:?} and {2:?}")]
    Markers(PathBuf, String, String),
}

/// Writes `text` between the lines `<!-- NAME: begin -->` and `<!-- NAME: end -->` of `page`, and
/// the images beside it, by their paths relative to it.
///
/// # Errors
/// When the page lacks the markers, or a file cannot be read or written.
pub fn publish(
    page: &Path,
    name: &str,
    text: &str,
    images: &[(&str, String)],
) -> Result<(), PageError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| PageError::File(path, error)
    };
    let (begin, end) = markers(name);
    let old = fs::read_to_string(page).map_err(failed(page))?;
    let new = replaced(&old, &begin, &end, text)
        .ok_or_else(|| PageError::Markers(page.to_owned(), begin, end))?;
    for (image, content) in images {
        let path = page.parent().unwrap_or(Path::new(".")).join(image);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed(folder))?;
        }
        fs::write(&path, content).map_err(failed(&path))?;
    }
    fs::write(page, new).map_err(failed(page))
}

fn markers(name: &str) -> (String, String) {
    (
        format!("<!-- {name}: begin -->"),
        format!("<!-- {name}: end -->"),
    )
}

fn replaced(page: &str, begin: &str, end: &str, text: &str) -> Option<String> {
    let from = page.find(begin)? + begin.len();
    let to = from + page.get(from..)?.find(end)?;
    Some(format!("{}\n\n{text}\n{}", &page[..from], &page[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let (begin, end) = markers("x");
        let page = format!("a\n{begin}\nold\n{end}\nb\n");
        let wanted = format!("a\n{begin}\n\nnew\n\n{end}\nb\n");
        let new = replaced(&page, &begin, &end, "new\n");
        assert_eq!(new.as_deref(), Some(wanted.as_str()));
        let wrong = format!("{end} {begin}");
        assert_eq!(replaced(&wrong, &begin, &end, "new"), None);
        assert_eq!(replaced("nothing", &begin, &end, "new"), None);
    }

    #[test]
    fn a_page_without_markers_stays_as_it_is() {
        let folder = std::env::temp_dir().join(format!("kit-page-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let page = folder.join("page.md");
        fs::write(&page, "text").unwrap();
        let images = [("images/a.svg", "<svg/>".to_owned())];
        let error = publish(&page, "x", "new", &images);
        assert!(matches!(error, Err(PageError::Markers(..))));
        assert_eq!(fs::read_to_string(&page).unwrap(), "text");
        fs::write(&page, "<!-- x: begin --><!-- x: end -->").unwrap();
        publish(&page, "x", "new", &images).unwrap();
        assert!(fs::read_to_string(&page).unwrap().contains("\nnew\n"));
        assert!(folder.join("images/a.svg").is_file());
        fs::remove_dir_all(&folder).unwrap();
    }
}
