//! The file in which a node keeps revocation lists, so that they count after a restart.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use rivermesh_proto::{
    limits,
    ticket::{RevocationList, TextError},
};
use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::Desk;

/// Lists that a file may have: what a node trusts is its program's choice.
const LISTS: usize = 1024;
/// Bytes that a file may have: base32 makes of 5 bytes 8.
const BYTES: u64 = (LISTS * limits::REVOCATIONS * 2) as u64;
/// How long until a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// The file of revocation lists cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShelfError {
    /// The file cannot be read or written.
    #[error("cannot read or write the revocation lists in {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line is no revocation list. A node that has lost its lists would take tickets that were
    /// revoked; so this is for a person to look at.
    #[error("line {line} of {} is not a revocation list", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: TextError,
    },
    /// A list is for another network.
    #[error("line {line} of {} is for another network", path.display())]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The file has more lists than a node keeps.
    #[error("{} has more revocation lists than a node keeps", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
    },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shelf {
    path: PathBuf,
    /// What is in the file.
    written: String,
}

impl Shelf {
    /// Gives the desk what is in the file, and makes sure that it can be written.
    pub(crate) fn open(path: PathBuf, desk: &Desk) -> Result<Self, ShelfError> {
        let read = read(&path)?;
        for (n, line) in read.lines().enumerate() {
            let line_no = n + 1;
            if n == LISTS {
                return Err(ShelfError::TooMany { path });
            }
            if line.trim().is_empty() {
                continue;
            }
            let list: RevocationList = line.parse().map_err(|source| ShelfError::Malformed {
                path: path.clone(),
                line: line_no,
                source,
            })?;
            if desk.restore(list).is_err() {
                let line = line_no;
                return Err(ShelfError::OtherNetwork { path, line });
            }
        }
        let written = text(desk);
        write(&path, &written).map_err(|source| ShelfError::Io {
            path: path.clone(),
            source,
        })?;
        Ok(Self { path, written })
    }

    /// Writes what the desk takes, until `done`, and then what was left.
    pub(crate) async fn keep(mut self, desk: Desk, done: CancellationToken) {
        let mut changes = desk.changes();
        loop {
            let ends = done.is_cancelled();
            changes.borrow_and_update();
            let text = text(&desk);
            let stands = text == self.written || self.replace(text).await;
            if ends {
                return;
            }
            let changed = async {
                // The node holds the sender, and this task ends with it.
                let _ = done.run_until_cancelled(changes.changed()).await;
            };
            if stands {
                changed.await;
            } else {
                let _ = timeout(AGAIN, done.cancelled()).await;
            }
        }
    }

    /// Writes the file anew; false where that failed.
    async fn replace(&mut self, text: String) -> bool {
        let path = self.path.clone();
        let wrote = tokio::task::spawn_blocking(move || write(&path, &text).map(|()| text)).await;
        match wrote {
            Ok(Ok(text)) => {
                self.written = text;
                true
            }
            Ok(Err(error)) => {
                let path = self.path.display();
                warn!(%path, %error, "revocation lists are not written: after a restart they would not count");
                false
            }
            Err(error) => {
                error!(%error, "the writer of revocation lists died");
                false
            }
        }
    }
}

fn text(desk: &Desk) -> String {
    let mut text = String::new();
    for list in desk.kept() {
        text += &format!("{list}\n");
    }
    text
}

fn read(path: &Path) -> Result<String, ShelfError> {
    let failed = |source| ShelfError::Io {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    let len = file
        .take(BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if len as u64 > BYTES {
        return Err(ShelfError::TooMany {
            path: path.to_owned(),
        });
    }
    Ok(text)
}

/// Writes the whole file or leaves it as it was, whatever crashes.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The name lasts once the folder does; only Unix can sync one.
    #[cfg(unix)]
    {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use iroh::SecretKey;
    use rivermesh_proto::{NetworkId, ticket::Revoking};

    use super::*;

    fn key(n: u8) -> SecretKey {
        SecretKey::from_bytes(&[n; 32])
    }

    fn list(network: &str, authority: u8, number: u64) -> RevocationList {
        let revoking = Revoking {
            number,
            ..Revoking::default()
        };
        RevocationList::sign(NetworkId::of(network), &key(authority), revoking).unwrap()
    }

    fn desk() -> Desk {
        Desk::new(NetworkId::of("lab"))
    }

    /// The number of an authority's list that a new node would have.
    fn number(path: &Path, authority: u8) -> Option<u64> {
        let desk = desk();
        Shelf::open(path.to_owned(), &desk).unwrap();
        let authority = key(authority).public();
        desk.revoked(|all| all.get(&authority).map(|list| list.revoking().number))
    }

    #[tokio::test(start_paused = true)]
    async fn what_counts_here_is_there_after_a_restart_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked");
        let (desk, done) = (desk(), CancellationToken::new());
        let shelf = Shelf::open(path.clone(), &desk).unwrap();
        assert!(path.exists(), "one that cannot be written is found at once");
        let keeping = tokio::spawn(shelf.keep(desk.clone(), done.clone()));
        let peer = Some(key(100).public());
        // By the program; heard of an authority that nobody trusts; of one that is trusted later.
        desk.take(list("lab", 1, 3), None).unwrap();
        desk.take(list("lab", 2, 5), peer).unwrap();
        desk.take(list("lab", 3, 7), peer).unwrap();
        // Virtual time goes on when everything is written.
        let lines = || fs::read_to_string(&path).unwrap().lines().count();
        tokio::time::sleep(AGAIN).await;
        assert_eq!(lines(), 1);
        desk.trust([key(3).public()].iter());
        tokio::time::sleep(AGAIN).await;
        assert_eq!(lines(), 2);
        // While the node ends.
        desk.take(list("lab", 1, 4), None).unwrap();
        done.cancel();
        keeping.await.unwrap();
        assert_eq!(number(&path, 1), Some(4));
        assert_eq!(number(&path, 2), None);
        assert_eq!(number(&path, 3), Some(7));
    }

    #[test]
    fn a_restored_list_gives_way_to_a_newer_one_alone() {
        let desk = desk();
        desk.restore(list("lab", 1, 3)).unwrap();
        assert_eq!(desk.take(list("lab", 1, 2), None), Ok(false));
        let peer = Some(key(100).public());
        assert_eq!(desk.take(list("lab", 1, 4), peer), Ok(true));
        // Though it came from a peer: this node has trusted the authority before.
        assert_eq!(desk.kept(), [list("lab", 1, 4)]);
    }

    #[test]
    fn a_file_that_has_lost_something_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked");
        let open = |text: &str| {
            fs::write(&path, text).unwrap();
            let opened = Shelf::open(path.clone(), &desk());
            (opened, fs::read_to_string(&path).unwrap())
        };
        let good = list("lab", 1, 3).to_string();
        let (opened, text) = open(&format!("{good}\n\n"));
        assert_eq!((opened.is_ok(), text), (true, format!("{good}\n")));
        let cut = &good[..good.len() - 1];
        let (opened, text) = open(&format!("{good}\n{cut}"));
        assert!(matches!(opened, Err(ShelfError::Malformed { line: 2, .. })));
        // It is as it was, for somebody to look at.
        assert_eq!(text, format!("{good}\n{cut}"));
        let (opened, _) = open(&list("other", 1, 3).to_string());
        assert!(matches!(
            opened,
            Err(ShelfError::OtherNetwork { line: 1, .. })
        ));
        let nowhere = folder.path().join("no").join("revoked");
        let opened = Shelf::open(nowhere, &desk());
        assert!(matches!(opened, Err(ShelfError::Io { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_written_is_written_when_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked");
        let (desk, done) = (desk(), CancellationToken::new());
        let before = list("lab", 1, 3).to_string() + "\n";
        fs::write(&path, &before).unwrap();
        let shelf = Shelf::open(path.clone(), &desk).unwrap();
        // Nothing can be written beside it.
        let beside = folder.path().join("revoked.new");
        fs::create_dir(&beside).unwrap();
        let keeping = tokio::spawn(shelf.keep(desk.clone(), done.clone()));
        desk.take(list("lab", 1, 4), None).unwrap();
        // Virtual time stands still while a write is under way.
        tokio::time::sleep(AGAIN / 2).await;
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        fs::remove_dir(&beside).unwrap();
        tokio::time::sleep(AGAIN).await;
        assert_eq!(number(&path, 1), Some(4));
        done.cancel();
        keeping.await.unwrap();
    }

    #[test]
    fn a_file_has_so_many_lists_and_bytes_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked");
        let line = list("lab", 1, 3).to_string() + "\n";
        for (lines, fits) in [(LISTS, true), (LISTS + 1, false)] {
            fs::write(&path, line.repeat(lines)).unwrap();
            match Shelf::open(path.clone(), &desk()) {
                Ok(_) => assert!(fits),
                Err(error) => assert!(!fits && matches!(error, ShelfError::TooMany { .. })),
            }
        }
        let file = File::create(&path).unwrap();
        file.set_len(BYTES + 1).unwrap();
        let opened = Shelf::open(path, &desk());
        assert!(matches!(opened, Err(ShelfError::TooMany { .. })));
    }
}
