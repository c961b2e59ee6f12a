//! The rendezvous folder itself: blocking calls to the file system.

use std::{
    ffi::OsStr,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use iroh::{EndpointAddr, TransportAddr};
use rand::{RngExt, seq::SliceRandom};
use rivermesh_proto::{NetworkId, NodeId, limits};
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::Rendezvous;

/// A file that was not touched for this long is of a node that is gone.
const STALE: Duration = Duration::from_secs(30);
/// The same, where the process is known to be gone. Longer than the time between
/// two touches, because a process in
/// another container may have a number that means nothing here.
const STALE_WITHOUT_PROCESS: Duration = Duration::from_secs(8);
/// Bytes of a file.
const NOTE: u64 = 4096;
/// Files looked at.
const FILES: usize = 4096;
/// Files checked for being stale at each look, besides those of nodes to dial.
const CHECKED: usize = 8;

/// What a node writes of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) node: NodeId,
    pub(super) addrs: Vec<SocketAddr>,
    pub(super) pid: u32,
    pub(super) instance: u64,
}

/// The node's own file, removed when dropped: one short system call.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) path: PathBuf,
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The folder of one network. All its methods block for the time of some system calls.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes sure that the folder is there, and that nobody else can write to it.
    pub(super) fn open(mode: &Rendezvous, network: NetworkId) -> io::Result<Option<Self>> {
        let base = match mode {
            Rendezvous::Off => return Ok(None),
            Rendezvous::Default => default_folder()?,
            Rendezvous::Dir(path) => path.clone(),
        };
        create(&base)?;
        let base = fs::canonicalize(base)?;
        check(&base)?;
        let path = base.join(network.to_string());
        create(&path)?;
        check(&path)?;
        Ok(Some(Self { path }))
    }

    pub(super) fn path(&self, node: NodeId) -> PathBuf {
        self.path.join(node.to_string())
    }

    /// Writes a file in one piece, or only touches it.
    pub(super) fn post(&self, path: &Path, note: &Note, touch: bool) -> io::Result<()> {
        if touch {
            let file = fs::File::options().write(true).open(path);
            if file
                .and_then(|file| file.set_modified(SystemTime::now()))
                .is_ok()
            {
                return Ok(());
            }
        }
        create(&self.path)?;
        let name = format!(".{}-{:016x}", note.pid, rand::rng().random::<u64>());
        let temporary = self.path.join(name);
        let text = serde_json::to_vec(note)?;
        let written = create_file(&temporary)
            .and_then(|mut file| io::Write::write_all(&mut file, &text))
            .and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Up to `wanted` random nodes, and a look at some files of nodes that are gone.
    pub(super) fn look(
        &self,
        wanted: usize,
        away: impl Fn(&NodeId) -> bool,
    ) -> io::Result<Vec<EndpointAddr>> {
        let mut names: Vec<_> = fs::read_dir(&self.path)?
            .take(FILES)
            .filter_map(|entry| Some(entry.ok()?.file_name()))
            .collect();
        names.shuffle(&mut rand::rng());
        let mut found = Vec::new();
        let mut checked = 0;
        for name in names {
            let node = name_of(&name);
            let interesting = found.len() < wanted && node.as_ref().is_some_and(&away);
            if !interesting {
                if checked >= CHECKED {
                    continue;
                }
                checked += 1;
            }
            let path = self.path.join(&name);
            match read(&path) {
                Ok(Some(note)) if interesting && Some(note.node) == node => {
                    let addrs = note.addrs.into_iter().take(limits::ADDRS);
                    let addrs = addrs.filter(|addr| addr.port() != 0).map(TransportAddr::Ip);
                    found.push(EndpointAddr::from_parts(note.node, addrs));
                }
                Ok(Some(_)) => {}
                Ok(None) => {
                    let _ = fs::remove_file(&path);
                }
                Err(error) => debug!(%error, ?path, "an unreadable file in the rendezvous folder"),
            }
        }
        Ok(found)
    }
}

/// The node whose file has this name.
fn name_of(name: &OsStr) -> Option<NodeId> {
    let name = name.to_str().filter(|name| name.len() == 64)?;
    name.parse().ok()
}

/// Reads a file; `None` when it is of a node that is gone, and to be removed.
fn read(path: &Path) -> io::Result<Option<Note>> {
    let metadata = fs::symlink_metadata(path)?;
    // A clock that was set back makes a file look as if it came from the future: it is fresh then.
    let age = metadata.modified()?.elapsed().unwrap_or_default();
    if age > STALE {
        return Ok(None);
    }
    if !metadata.is_file() || metadata.len() > NOTE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not a small regular file",
        ));
    }
    let note: Note = match serde_json::from_slice(&fs::read(path)?) {
        Ok(note) => note,
        // A temporary file that is being written.
        Err(_) if age < STALE_WITHOUT_PROCESS => {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a note"));
        }
        Err(_) => return Ok(None),
    };
    let gone = age > STALE_WITHOUT_PROCESS && is_gone(note.pid);
    Ok((!gone).then_some(note))
}

/// Whether there is surely no such process; only Linux lets us look.
fn is_gone(pid: u32) -> bool {
    Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{pid}")).exists()
}

#[cfg(unix)]
fn default_folder() -> io::Result<PathBuf> {
    if let Some(dir) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
        && dir.is_absolute()
        && dir.is_dir()
    {
        return Ok(dir.join("rivermesh"));
    }
    let temp = std::env::temp_dir();
    let user = user(&temp)?;
    Ok(temp.join(format!("rivermesh-{user}")))
}

#[cfg(not(unix))]
fn default_folder() -> io::Result<PathBuf> {
    // A folder of the user's own there.
    Ok(std::env::temp_dir().join("rivermesh"))
}

/// Our user id, as that of a new file shows it.
#[cfg(unix)]
fn user(dir: &Path) -> io::Result<u32> {
    use std::os::unix::fs::MetadataExt;
    let path = dir.join(format!(".rivermesh-{:016x}", rand::rng().random::<u64>()));
    let metadata = create_file(&path).and_then(|file| file.metadata());
    let _ = fs::remove_file(&path);
    metadata.map(|metadata| metadata.uid())
}

/// Refuses a folder that belongs to somebody else, or that others can write to.
#[cfg(unix)]
fn check(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::symlink_metadata(path)?;
    let refuse = |why| {
        let why = format!("the rendezvous folder {} {why}", path.display());
        Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
    };
    if !metadata.is_dir() {
        return refuse("is not a folder");
    }
    if metadata.mode() & 0o022 != 0 {
        return refuse("can be written to by others");
    }
    if metadata.uid() != user(path)? {
        return refuse("belongs to another user");
    }
    Ok(())
}

#[cfg(not(unix))]
fn check(path: &Path) -> io::Result<()> {
    fs::metadata(path).map(drop)
}

/// Creates a folder, and what is missing above it, for the user alone.
fn create(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Creates a file that is not there yet, for the user alone.
fn create_file(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use iroh::SecretKey;

    use super::*;

    fn note(n: u8) -> Note {
        Note {
            node: SecretKey::from_bytes(&[n; 32]).public(),
            addrs: vec![([127, 0, 0, 1], 1000 + u16::from(n)).into()],
            pid: std::process::id(),
            instance: 7,
        }
    }

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let mode = Rendezvous::Dir(dir.path().join("a/b"));
        let folder = Folder::open(&mode, NetworkId::of("test")).unwrap().unwrap();
        (dir, folder)
    }

    #[test]
    fn nodes_find_a_few_others() {
        let (_dir, folder) = folder();
        for n in 1..=20 {
            folder
                .post(&folder.path(note(n).node), &note(n), n % 2 == 0)
                .unwrap();
        }
        let own = note(1).node;
        let found = folder.look(3, |node| *node != own).unwrap();
        assert_eq!(found.len(), 3);
        assert!(
            found
                .iter()
                .all(|addr| addr.id != own && addr.ip_addrs().count() == 1)
        );
        assert!(folder.look(0, |_| true).unwrap().is_empty());
        drop(Own {
            path: folder.path(own),
        });
        assert!(!folder.path(own).exists());
    }

    #[test]
    fn junk_is_not_believed_and_stale_files_go() {
        let (_dir, folder) = folder();
        let other = folder.path(note(2).node);
        folder.post(&other, &note(1), false).unwrap();
        assert!(
            folder.look(3, |_| true).unwrap().is_empty(),
            "named after another node"
        );
        fs::write(&other, vec![b'['; 100]).unwrap();
        fs::write(folder.path(note(3).node), vec![b' '; 5000]).unwrap();
        fs::create_dir(folder.path(note(4).node)).unwrap();
        fs::write(folder.path.join("junk"), b"junk").unwrap();
        assert!(folder.look(3, |_| true).unwrap().is_empty());
        let old = SystemTime::now() - Duration::from_secs(60);
        fs::File::options()
            .write(true)
            .open(&other)
            .unwrap()
            .set_modified(old)
            .unwrap();
        assert!(folder.look(3, |_| true).unwrap().is_empty());
        assert!(!other.exists());
    }

    #[cfg(unix)]
    #[test]
    fn files_are_private_and_open_folders_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, folder) = folder();
        let path = folder.path(note(1).node);
        folder.post(&path, &note(1), false).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::metadata(&folder.path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let error = Folder::open(&Rendezvous::Dir(open), NetworkId::of("test")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
