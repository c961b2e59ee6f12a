//! What a process holds, read from `/proc` (Linux), and whether that stays flat.

use std::{fmt, fs, io, path::PathBuf};

use thiserror::Error;

/// What one process holds at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory in bytes (`VmRSS`, see proc_pid_status(5)).
    pub rss_bytes: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Usage {
    /// What the process with this id holds now.
    ///
    /// # Errors
    /// When there is no such process, it belongs to another user, or this is not Linux.
    pub fn of(pid: u32) -> io::Result<Self> {
        Self::read(PathBuf::from(format!("/proc/{pid}")))
    }

    /// What this process holds now; the descriptor that counts the descriptors is included.
    ///
    /// # Errors
    /// When this is not Linux.
    pub fn own() -> io::Result<Self> {
        Self::read(PathBuf::from("/proc/self"))
    }

    fn read(folder: PathBuf) -> io::Result<Self> {
        let status = fs::read_to_string(folder.join("status"))?;
        let descriptors = fs::read_dir(folder.join("fd"))?.count() as u64;
        Ok(Self {
            // Without the line the process is a zombie: it holds no memory.
            rss_bytes: field(&status, "VmRSS:")?.unwrap_or(0) * 1024,
            descriptors,
            threads: field(&status, "Threads:")?.unwrap_or(0),
        })
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} MiB, {} descriptors, {} threads",
            self.rss_bytes as f64 / f64::from(1 << 20),
            self.descriptors,
            self.threads
        )
    }
}

fn field(status: &str, name: &str) -> io::Result<Option<u64>> {
    let Some(rest) = status.lines().find_map(|line| line.strip_prefix(name)) else {
        return Ok(None);
    };
    rest.trim()
        .trim_end_matches(" kB")
        .parse()
        .map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{name} {error}")))
}

/// How much each number may grow from the first half of a run to the second.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    /// Bytes of resident memory; default 16 MiB, which is above an allocator's jitter.
    pub rss_bytes: u64,
    /// File descriptors; default 4.
    pub descriptors: u64,
    /// Threads; default 2 (a runtime's blocking pool comes and goes).
    pub threads: u64,
}

impl Default for Growth {
    fn default() -> Self {
        Self {
            rss_bytes: 16 << 20,
            descriptors: 4,
            threads: 2,
        }
    }
}

/// A process did not stay flat, or too little was seen of it to say so.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotFlat {
    /// Fewer samples than a judgement needs.
    #[error("{got} samples are too few to judge by, {needed} are needed")]
    TooFew {
        /// Samples taken.
        got: usize,
        /// Samples needed.
        needed: usize,
    },
    /// A number grew by more than was allowed.
    #[error("{what} grew from {before} to {after}, at most {allowed} more were allowed")]
    Grew {
        /// Which number.
        what: &'static str,
        /// Its peak in the first half.
        before: u64,
        /// Its peak in the second half.
        after: u64,
        /// The growth that was allowed.
        allowed: u64,
    },
}

/// Samples of one process over a run.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<Usage>);

impl Samples {
    /// Samples below which no judgement is passed.
    pub const NEEDED: usize = 8;

    /// Adds a sample. Take the first one after warm-up: pools and buffers fill at the start.
    pub fn push(&mut self, usage: Usage) {
        self.0.push(usage);
    }

    /// Compares the peaks of the second half with those of the first: a leak grows in both, a
    /// burst falls into one.
    ///
    /// # Errors
    /// When a number grew by more than allowed, or there are fewer than [`Self::NEEDED`] samples.
    pub fn check_flat(&self, allowed: &Growth) -> Result<(), NotFlat> {
        if self.0.len() < Self::NEEDED {
            return Err(NotFlat::TooFew {
                got: self.0.len(),
                needed: Self::NEEDED,
            });
        }
        let (first, second) = self.0.split_at(self.0.len() / 2);
        type Number = fn(&Usage) -> u64;
        let numbers: [(&'static str, Number, u64); 3] = [
            ("resident memory", |u| u.rss_bytes, allowed.rss_bytes),
            ("descriptors", |u| u.descriptors, allowed.descriptors),
            ("threads", |u| u.threads, allowed.threads),
        ];
        for (what, number, allowed) in numbers {
            let before = first.iter().map(number).max().unwrap_or(0);
            let after = second.iter().map(number).max().unwrap_or(0);
            if after > before.saturating_add(allowed) {
                return Err(NotFlat::Grew {
                    what,
                    before,
                    after,
                    allowed,
                });
            }
        }
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn usage(mib: u64) -> Usage {
        Usage {
            rss_bytes: mib << 20,
            descriptors: 10,
            threads: 4,
        }
    }

    #[test]
    fn reads_this_process() {
        let own = Usage::own().unwrap();
        assert!(own.rss_bytes > 1 << 20, "{own}");
        assert!(own.descriptors >= 3 && own.threads >= 1, "{own}");
        assert!(Usage::of(std::process::id()).unwrap().rss_bytes > 1 << 20);
        assert!(Usage::of(u32::MAX).is_err());
    }

    #[test]
    fn sees_memory_that_is_held() {
        let before = Usage::own().unwrap();
        let held = vec![1u8; 64 << 20];
        let after = Usage::own().unwrap();
        assert!(after.rss_bytes > before.rss_bytes + (48 << 20), "{after}");
        assert_eq!(held[held.len() - 1], 1);
    }

    #[test]
    fn a_leak_is_not_flat_and_a_burst_is() {
        let mut leak = Samples::default();
        (0..10).for_each(|n| leak.push(usage(50 + 8 * n)));
        assert!(matches!(
            leak.check_flat(&Growth::default()),
            Err(NotFlat::Grew {
                what: "resident memory",
                ..
            })
        ));
        let mut burst = Samples::default();
        for mib in [50, 50, 90, 50, 50, 52, 51, 88, 50, 50] {
            burst.push(usage(mib));
        }
        burst.check_flat(&Growth::default()).unwrap();
        assert!(
            Samples::default()
                .check_flat(&Growth::default())
                .unwrap_err()
                .to_string()
                .contains("too few")
        );
    }
}
