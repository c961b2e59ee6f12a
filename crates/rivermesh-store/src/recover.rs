//! Opening: whose log it is, what of it is there, what is damaged.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
};

use rivermesh_proto::{Epoch, Seq};

use crate::{
    commits::Commits,
    config::Config,
    error::OpenError,
    files::Folder,
    identity::{self, Block, Identity, Unreadable, VERSION},
    map::{Map, Segment},
    record::{Codec, Head, Kind, stored},
    scan::{Found, Scan},
};

/// Bytes of what a segment begins with, where nobody has committed anything: a first segment that is
/// no longer than that was being created.
const BEGUN: u64 = 512;

/// What a store holds, as opening has found it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// The life of the stream that goes on: the one asked for where the store is new.
    pub epoch: Epoch,
    /// The oldest item that is held, or the next one.
    pub first: Seq,
    /// Where the stored items end. What lies between this and `next` was never stored, or never
    /// used: it is told as [`Cause::Unsaved`](crate::Cause).
    pub stored: Seq,
    /// The number that the next item gets.
    pub next: Seq,
    /// What named consumers have committed, by name.
    pub commits: BTreeMap<String, Seq>,
    /// False where damage may have taken a commit: a position may be an older one then, or missing.
    pub commits_intact: bool,
    /// Items that were stored and cannot be read, in order, apart from each other.
    pub corrupt: Vec<Range<Seq>>,
    /// What was being written when the last life ended, and was cut off.
    pub torn: Option<Torn>,
    /// Where bytes are damaged, whether or not items are lost by it.
    pub damage: Vec<Damage>,
}

/// The cut-off end of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Torn {
    /// How many bytes were cut; none where a segment had just been created.
    pub bytes: u64,
    /// Where the items in them ended, as far as that can be told.
    pub upto: Option<Seq>,
}

/// A damaged place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in the file it begins.
    pub at: u64,
    /// How many bytes cannot be trusted.
    pub bytes: u64,
}

/// What a store begins to work with.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) lock: Lock,
    pub(crate) folder: Folder,
    pub(crate) identity: Identity,
    pub(crate) map: Map,
    pub(crate) commits: Commits,
    /// The highest number that a segment has had.
    pub(crate) number: u64,
    pub(crate) recovered: Recovered,
}

/// Opens, or begins, the store in a folder. Needs no room on the disk if there is one already.
pub(crate) fn open(path: &Path, asked: &Identity, config: &Config) -> Result<Opened, OpenError> {
    let folder = Folder::new(path);
    fs::create_dir_all(path).map_err(on(path))?;
    let lock = lock(&folder)?;
    let numbers = folder.segments().map_err(on(path))?;
    let mut identity = identify(&folder, &numbers, asked)?;
    let mut walk = Walk::new(identity.key(), config.index_bytes);
    for (index, &number) in numbers.iter().enumerate() {
        let is_last = index + 1 == numbers.len();
        walk.segment(&folder, number, is_last)?;
    }
    // Before anything is cut: an error is to leave the folder as it was.
    if walk.expect.is_none() && !numbers.is_empty() {
        // Nothing says which numbers were used. Of a first segment that was being created none were.
        if numbers != [1] || walk.torn.is_some_and(|torn| torn.bytes > BEGUN) {
            let (path, what) = (path.into(), "no segment can be read");
            return Err(OpenError::Damaged { path, what });
        }
        identity.epoch = asked.epoch;
        announce(&folder, &identity)?;
    }
    walk.cut(&folder).map_err(on(path))?;
    let (map, recovered) = walk.done(identity.epoch);
    Ok(Opened {
        lock,
        folder,
        identity,
        map,
        commits: walk.commits,
        number: numbers.last().copied().unwrap_or(0),
        recovered,
    })
}

/// Keeps others from opening the store. The system lets go of it when the process dies.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that is being started has a copy of it for a moment.
        let _ = self.0.unlock();
    }
}

fn lock(folder: &Folder) -> Result<Lock, OpenError> {
    let path = folder.lock();
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(on(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(folder.path().into())),
        Err(TryLockError::Error(error)) => Err(on(&path)(error)),
    }
}

/// Finds out whose log it is; a folder without any becomes the log of who asks.
fn identify(folder: &Folder, numbers: &[u64], asked: &Identity) -> Result<Identity, OpenError> {
    let own = match block(&folder.identity())? {
        Some(Err(Unreadable::Version(got))) => return Err(newer(got)),
        Some(Ok(block)) => Some(block.identity),
        _ => None,
    };
    let mut held = own.clone();
    for &number in numbers {
        if held.is_some() {
            break;
        }
        match block(&folder.segment(number))? {
            Some(Err(Unreadable::Version(got))) => return Err(newer(got)),
            Some(Ok(block)) => held = Some(block.identity),
            _ => {}
        }
    }
    if let Some(held) = &held
        && (&held.name, held.fingerprint) != (&asked.name, asked.fingerprint)
    {
        let show = |who: &Identity| format!("{} ({})", who.name, who.fingerprint);
        let (held, asked) = (show(held), show(asked));
        return Err(OpenError::Other { held, asked });
    }
    match held {
        // Also where the segments have been deleted: a new epoch can take no number twice.
        _ if numbers.is_empty() => {
            announce(folder, asked)?;
            Ok(asked.clone())
        }
        Some(held) => {
            if own.is_none() {
                // The segments say it as well; on a full disk this fails, and may.
                let _ = announce(folder, &held);
            }
            Ok(held)
        }
        None => Err(OpenError::Damaged {
            path: folder.path().into(),
            what: "nothing intact says which stream the segments are of",
        }),
    }
}

fn announce(folder: &Folder, identity: &Identity) -> Result<(), OpenError> {
    let block = Block {
        identity: identity.clone(),
        number: 0,
        base: 0,
    };
    let path = folder.identity();
    folder.write_identity(&block).map_err(on(&path))
}

/// The block at the head of a file; `None` without the file.
fn block(path: &Path) -> Result<Option<Result<Block, Unreadable>>, OpenError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(on(path))?,
    };
    let mut bytes = Vec::with_capacity(identity::HEAD);
    let mut head = file.take(identity::HEAD as u64);
    head.read_to_end(&mut bytes).map_err(on(path))?;
    Ok(Some(Block::parse(&bytes)))
}

fn newer(got: u32) -> OpenError {
    let known = VERSION;
    OpenError::Version { got, known }
}

fn on(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    |error| OpenError::Io { path, error }
}

/// What is known after the segments that were walked.
#[derive(Debug)]
struct Walk {
    key: [u8; 32],
    spacing: u64,
    segments: Vec<Segment>,
    commits: Commits,
    /// All committed positions were read, and no damage since.
    is_commits_intact: bool,
    lease: Seq,
    /// Where the next batch is expected to begin; `None` before anything has said so.
    expect: Option<Seq>,
    first: Seq,
    corrupt: Vec<Range<Seq>>,
    torn: Option<Torn>,
    damage: Vec<Damage>,
}

impl Walk {
    fn new(key: [u8; 32], spacing: u64) -> Self {
        Self {
            key,
            spacing,
            segments: Vec::new(),
            commits: Commits::default(),
            is_commits_intact: true,
            lease: 0,
            expect: None,
            first: 0,
            corrupt: Vec::new(),
            torn: None,
            damage: Vec::new(),
        }
    }

    fn segment(&mut self, folder: &Folder, number: u64, is_last: bool) -> Result<(), OpenError> {
        let path = folder.segment(number);
        let head = match block(&path)? {
            Some(Ok(block)) if block.number == number => Some(block.base),
            Some(Err(Unreadable::Version(got))) => return Err(newer(got)),
            _ => None,
        };
        let file = File::open(&path).map_err(on(&path))?;
        let len = file.metadata().map_err(on(&path))?.len();
        let begin = identity::HEAD as u64;
        let mut damage = Vec::new();
        let mut good = 0;
        if let Some(base) = head {
            self.chain(base);
            good = begin.min(len);
        } else {
            damage.push((0, begin.min(len)));
        }
        let mut segment = Segment::new(number, len);
        let codec = Codec::new(self.key, number);
        let mut upto = None;
        let scan = Scan::new(file, codec, begin, len).and_then(|mut scan| {
            loop {
                match scan.next()? {
                    Found::End => return Ok(()),
                    Found::Bad { at, to } => damage.push((at, to)),
                    Found::Record { at, head } => {
                        let to = (at + stored(head.len) as u64).min(len);
                        let body = scan.body(at, &head)?;
                        if body.is_some() {
                            segment.is_damaged |= !damage.is_empty();
                            self.damaged(&path, &mut damage);
                        }
                        if body.is_some_and(|body| self.take(at, &head, &body, &mut segment)) {
                            (good, upto) = (to, None);
                        } else {
                            damage.push((at, to));
                            upto = upto.max((head.kind == Kind::Data).then_some(head.end));
                        }
                    }
                }
            }
        });
        scan.map_err(on(&path))?;
        // An empty one had just been created.
        if is_last && (good < len || len == 0) {
            let bytes = len - good;
            self.torn = Some(Torn { bytes, upto });
            segment.len = good;
            self.segments.push(segment);
            return Ok(());
        }
        segment.is_damaged |= !damage.is_empty();
        self.damaged(&path, &mut damage);
        self.segments.push(segment);
        Ok(())
    }

    /// Cuts off the torn end of the last segment.
    fn cut(&mut self, folder: &Folder) -> io::Result<()> {
        let (Some(_), Some(last)) = (self.torn, self.segments.last()) else {
            return Ok(());
        };
        if last.len == 0 {
            folder.remove(last.number)?;
            self.segments.pop();
            return folder.sync();
        }
        let file = File::options()
            .write(true)
            .open(folder.segment(last.number))?;
        file.set_len(last.len)?;
        file.sync_all()
    }

    /// Notes damage that has something intact behind it.
    fn damaged(&mut self, path: &Path, damage: &mut Vec<(u64, u64)>) {
        for (at, to) in damage.drain(..) {
            self.is_commits_intact = false;
            self.damage.push(Damage {
                path: path.into(),
                at,
                bytes: to - at,
            });
        }
    }

    /// The items that were stored before what is read now ended at `prev`.
    fn chain(&mut self, prev: Seq) {
        let expect = *self.expect.get_or_insert_with(|| {
            self.first = prev;
            prev
        });
        if prev > expect {
            self.expect = Some(prev);
            match self.corrupt.last_mut() {
                Some(last) if last.end == expect => last.end = prev,
                _ => self.corrupt.push(expect..prev),
            }
        }
    }

    /// Takes up an intact record. False where it makes no sense.
    fn take(&mut self, at: u64, head: &Head, body: &[u8], segment: &mut Segment) -> bool {
        match head.kind {
            Kind::Data => {
                self.chain(head.prev.min(head.first));
                let expect = self.expect.unwrap_or(0);
                // A copy of what was read already may be left behind by a sync that failed.
                if head.end > expect {
                    if head.first < expect {
                        return false;
                    }
                    segment.note(head.first, head.end, at, self.spacing);
                    self.expect = Some(head.end);
                }
                true
            }
            Kind::Lease => {
                self.chain(head.prev);
                self.lease = head.first;
                true
            }
            Kind::Names | Kind::Commits => {
                self.chain(head.prev);
                let is_understood = self.commits.take_up(head.kind, body);
                if head.kind == Kind::Names {
                    self.is_commits_intact = is_understood;
                }
                is_understood
            }
        }
    }

    fn done(&mut self, epoch: Epoch) -> (Map, Recovered) {
        let stored = self.expect.unwrap_or(0);
        let torn = self.torn.map_or(0, |torn| {
            // An item takes a byte at least: if the tail was not torn but damaged, this is more
            // than were in it.
            stored
                .saturating_add(torn.bytes)
                .max(torn.upto.unwrap_or(0))
        });
        let next = match self.expect {
            Some(_) => self.lease.max(stored).max(torn),
            None => 0,
        };
        let map = Map {
            segments: std::mem::take(&mut self.segments).into(),
            first: self.first,
            stored,
            next,
        };
        let recovered = Recovered {
            epoch,
            first: self.first,
            stored,
            next,
            commits: self.commits.table().clone(),
            commits_intact: self.is_commits_intact,
            corrupt: std::mem::take(&mut self.corrupt),
            torn: self.torn,
            damage: std::mem::take(&mut self.damage),
        };
        (map, recovered)
    }
}
