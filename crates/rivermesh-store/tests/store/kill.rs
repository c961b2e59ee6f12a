//! A process that is killed while it writes: whatever it said was stored is there.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Stdio},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rivermesh_store::{Cause, Persist, Store};

use crate::support::{again, append, child, identity, open, small, walk};

/// How often the process is killed; more of it by the environment.
const ROUNDS: u64 = 36;

/// What the children of one store have said, all together.
#[derive(Debug, Default)]
struct Journal {
    /// Where the numbers of each life begin, by its salt.
    lives: BTreeMap<u64, u64>,
    epoch: Option<u64>,
    /// Items before this were synced.
    synced: u64,
    /// Items before this were appended: the system has them, and nobody kills the system.
    appended: u64,
    /// Numbers before this may have been shown to somebody.
    shown: u64,
    committed: u64,
}

impl Journal {
    fn note(&mut self, line: &str, round: u64) {
        let Some((_, words)) = line.split_once('@') else {
            return;
        };
        let mut words = words.split_whitespace();
        let what = words.next().unwrap();
        let number: u64 = words.next().unwrap().parse().unwrap();
        match what {
            "begin" => {
                self.lives.insert(number, round);
            }
            "epoch" => {
                let epoch = *self.epoch.get_or_insert(number);
                assert_eq!(epoch, number, "another epoch");
            }
            "synced" => self.synced = number,
            "appended" => self.appended = number,
            "shown" => self.shown = number,
            "committed" => self.committed = number,
            other => panic!("a child said {other}"),
        }
    }

    fn salt(&self, seq: u64) -> u64 {
        self.lives
            .range(..=seq)
            .next_back()
            .map_or(0, |(_, salt)| *salt)
    }

    fn judge(&self, path: &Path, case: &str) {
        let (store, found) = open(path, small());
        assert_eq!(Some(found.epoch.0), self.epoch, "{case}");
        assert!(
            found.corrupt.is_empty() && found.damage.is_empty(),
            "{case}: {found:?}"
        );
        assert!(
            found.stored >= self.appended.max(self.synced),
            "{case}: {found:?}, {self:?}"
        );
        assert!(
            found.next >= self.shown,
            "{case}: numbers are used again: {found:?}, {self:?}"
        );
        assert!(found.commits_intact, "{case}");
        let committed = found.commits.get("billing").copied().unwrap_or(0);
        assert!(committed >= self.committed, "{case}: {committed}, {self:?}");
        let walked = walk(&store.reader(), found.first, 50_000, |seq| self.salt(seq));
        assert!(walked.gone_for(Cause::Corrupt).is_empty(), "{case}");
        // What is not there was never said to be: numbers skipped between two lives.
        let mut begins = self.lives.keys();
        for range in walked.gone_for(Cause::Unsaved) {
            let is_seam = range.end == found.next || begins.any(|&begin| begin == range.end);
            assert!(
                is_seam,
                "{case}: {range:?} is missing within a life, {self:?}"
            );
        }
    }
}

#[test]
fn what_was_said_to_be_stored_outlives_kill_9() {
    let rounds = std::env::var("RIVERMESH_KILLS").map_or(ROUNDS, |text| text.parse().unwrap());
    let seed = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::default();
    for round in 1..=rounds {
        let case = format!("seed {seed}, round {round}");
        let mut child = start(dir.path(), round, seed);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Some die before they have said anything.
        for _ in 0..rng.random_range(0..400) {
            journal.note(&lines.next().unwrap().unwrap(), round);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died; a last line may be cut off.
        for line in lines.map_while(Result::ok) {
            if line.ends_with('.') || line.contains("@begin") {
                journal.note(line.trim_end_matches('.'), round);
            }
        }
        if journal.epoch.is_some() {
            journal.judge(dir.path(), &case);
        }
    }
    assert!(journal.synced > 1_000, "nothing was written: {journal:?}");
}

fn start(path: &Path, round: u64, seed: u64) -> Child {
    again(&[], "kill::writer", path)
        .env("RIVERMESH_STORE_ROUND", round.to_string())
        .env("RIVERMESH_STORE_SEED", seed.wrapping_add(round).to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn number(name: &str) -> u64 {
    std::env::var(name).unwrap().parse().unwrap()
}

/// What is killed. Each line ends with a dot, so that one that is cut off is seen.
#[test]
fn writer() {
    let Some(path) = child() else { return };
    let salt = number("RIVERMESH_STORE_ROUND");
    let mut rng = StdRng::seed_from_u64(number("RIVERMESH_STORE_SEED"));
    let out = std::io::stdout();
    let say = |what: &str, number: u64| {
        let mut out = out.lock();
        writeln!(out, "@{what} {number} .").unwrap();
        out.flush().unwrap();
    };
    let config = small().disk_bytes(256 << 10);
    let (mut store, found) = Store::open(&path, &identity(salt), config).unwrap();
    store.persist(Persist::Synced).unwrap();
    say("begin", found.next);
    say("epoch", found.epoch.0);
    loop {
        let sizes: Vec<u64> = (0..rng.random_range(1..4))
            .map(|_| rng.random_range(1..9))
            .collect();
        append(&mut store, salt, &sizes);
        say("appended", store.next());
        match rng.random_range(0..10) {
            0..3 => {
                store.persist(Persist::Synced).unwrap();
                say("synced", store.next());
            }
            3 => say("shown", store.granted()),
            4 => {
                store.commit("billing", store.next()).unwrap();
                let committed = store.next();
                store.persist(Persist::Buffered).unwrap();
                say("committed", committed);
            }
            _ => {}
        }
    }
}
