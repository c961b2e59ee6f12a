//! The folder in which nodes of one machine find each other.
//!
//! Each node keeps one small file there, `<folder>/<network>/<node id>`, with its addresses, readable
//! by its user alone and touched every [`TOUCH`]. A node without enough neighbours dials a few random
//! ones of those it finds; it never dials all, so that many nodes on one machine do not form a full
//! mesh. Files of nodes that are gone are removed by whoever comes across them. What is read is
//! held to bounds like anything from a peer, and proves nothing: the handshake does.

use std::{
    ffi::OsStr,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use iroh::{EndpointAddr, TransportAddr};
use rand::{RngExt, seq::SliceRandom};
use rivermesh_proto::{NetworkId, NodeId, limits};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tracing::{debug, warn};

use super::{Rendezvous, shared::Shared, worker::Input};

/// How often a node shows that it is still there.
const TOUCH: Duration = Duration::from_secs(5);
/// A file that was not touched for this long is of a node that is gone.
const STALE: Duration = Duration::from_secs(30);
/// The same, where the process is known to be gone. Longer than [`TOUCH`], because a process in
/// another container may have a number that means nothing here.
const STALE_WITHOUT_PROCESS: Duration = Duration::from_secs(8);
/// For this long after the start the folder is looked at often.
const EAGER: Duration = Duration::from_secs(3);
/// Neighbours from which on nobody is dialed through the folder.
const ENOUGH: usize = 3;
/// Bytes of a file.
const NOTE: u64 = 4096;
/// Files looked at.
const FILES: usize = 4096;
/// Files checked for being stale at each look, besides those of nodes to dial.
const CHECKED: usize = 8;

/// What a node writes of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    node: NodeId,
    addrs: Vec<SocketAddr>,
    pid: u32,
    instance: u64,
}

/// Keeps the node's own file and looks for others, until cancelled.
pub(super) async fn run(
    shared: Arc<Shared>,
    sockets: Vec<SocketAddr>,
    inputs: mpsc::Sender<Input>,
) {
    let mode = shared.config.rendezvous.clone();
    let network = shared.network;
    let folder = match spawn_blocking(move || Folder::open(&mode, network)).await {
        Ok(Ok(Some(folder))) => Arc::new(folder),
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(error)) => {
            warn!(%error, "nodes of this machine will not be found");
            return;
        }
    };
    // Dropped, and with it the file, when the task is cancelled.
    let own = Own {
        path: folder.path(shared.local),
    };
    let started = Instant::now();
    let mut touch_at = started;
    let mut posted = None;
    loop {
        let now = Instant::now();
        if touch_at <= now {
            touch_at = now + TOUCH;
            let note = note(&shared, &sockets);
            let (folder, path) = (Arc::clone(&folder), own.path.clone());
            let touch = posted.as_ref() == Some(&note);
            let written = note.clone();
            let result = spawn_blocking(move || folder.post(&path, &written, touch)).await;
            match result {
                Ok(Ok(())) => posted = Some(note),
                Ok(Err(error)) => debug!(%error, "cannot write to the rendezvous folder"),
                Err(_) => return,
            }
        }
        let neighbours = shared.neighbours.load(Ordering::Relaxed);
        let wanted = ENOUGH.saturating_sub(neighbours);
        let (looker, looking) = (Arc::clone(&folder), Arc::clone(&shared));
        let found = spawn_blocking(move || {
            let away = |node: &NodeId| {
                *node != looking.local && !looking.read(|catalog| catalog.is_connected(node))
            };
            looker.look(wanted, away)
        });
        match found.await {
            Ok(Ok(found)) if !found.is_empty() => {
                if inputs.send(Input::Met(found)).await.is_err() {
                    return;
                }
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => debug!(%error, "cannot read the rendezvous folder"),
            Err(_) => return,
        }
        let pause = match (wanted > 0, started.elapsed() < EAGER) {
            (true, true) => Duration::from_millis(rand::rng().random_range(100..250)),
            (true, false) => Duration::from_secs(2),
            (false, _) => Duration::from_secs(10),
        };
        sleep_until((Instant::now() + pause).min(touch_at)).await;
    }
}

/// Addresses at which sockets can be reached from the same machine.
pub(super) fn reachable_here(sockets: &[SocketAddr]) -> Vec<SocketAddr> {
    let here = |socket: &SocketAddr| match socket.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, socket.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, socket.port()).into(),
        _ => *socket,
    };
    sockets.iter().map(here).collect()
}

fn note(shared: &Shared, sockets: &[SocketAddr]) -> Note {
    let mut addrs = reachable_here(sockets);
    let own = shared.read(|catalog| catalog.view().get(&shared.local).cloned());
    for addr in own.iter().flat_map(|peer| peer.addrs()) {
        if let TransportAddr::Ip(addr) = addr
            && !addrs.contains(addr)
        {
            addrs.push(*addr);
        }
    }
    addrs.truncate(limits::ADDRS);
    let instance = own.map_or(0, |peer| peer.instance());
    Note {
        node: shared.local,
        addrs,
        pid: std::process::id(),
        instance,
    }
}

/// The node's own file, removed when dropped: one short system call.
#[derive(Debug)]
struct Own {
    path: PathBuf,
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The folder of one network. All its methods block for the time of some system calls.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes sure that the folder is there, and that nobody else can write to it.
    fn open(mode: &Rendezvous, network: NetworkId) -> io::Result<Option<Self>> {
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

    fn path(&self, node: NodeId) -> PathBuf {
        self.path.join(node.to_string())
    }

    /// Writes a file in one piece, or only touches it.
    fn post(&self, path: &Path, note: &Note, touch: bool) -> io::Result<()> {
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
    fn look(&self, wanted: usize, away: impl Fn(&NodeId) -> bool) -> io::Result<Vec<EndpointAddr>> {
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
