//! Nodes in processes of their own, as tests see them.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, time::timeout};

use crate::{cluster::DEADLINE, wait::eventually};

/// What the process is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Sends items to who consumes the tests' stream, and keeps a journal.
    Producer,
    /// Does so with the log on disk, in the folder `log` beside its journal, of which memory keeps
    /// little; counts an item when it outlives the process.
    Keeper,
    /// Consumes the tests' stream, and keeps a journal.
    Consumer,
    /// Opens connections and says nothing.
    Silent,
}

/// What the process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Args {
    /// What to do.
    pub role: Role,
    /// The invite to join by, as text.
    pub invite: String,
    /// The node's key.
    pub secret: [u8; 32],
    /// The seed of the payloads' key.
    pub seed: u64,
    /// The journal's file, which must not exist.
    pub journal: PathBuf,
    /// A consumer's name in its journal.
    pub name: String,
    /// Items to send, or connections to open.
    pub items: u64,
    /// What a consumer acknowledges under.
    pub acks: Acks,
}

/// What a consumer acknowledges under.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acks {
    /// It does not.
    #[default]
    None,
    /// A name of its own.
    Name(String),
    /// The name of its group.
    Group(String),
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Process {
    /// Starts the program at `path`, which is `env!("CARGO_BIN_EXE_peer")` in a test, with one
    /// argument: these [`Args`], or what another program takes, as JSON.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(path: impl AsRef<Path>, args: &impl Serialize) -> Self {
        let args = serde_json::to_string(args).unwrap_or_default();
        let child = Command::new(path.as_ref())
            .arg(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => panic!("{} cannot be started: {error}", path.as_ref().display()),
        };
        let (line, lines) = mpsc::unbounded_channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                for text in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = line.send(text);
                }
            });
        }
        let input = child.stdin.take();
        Self {
            child,
            input,
            lines,
        }
    }

    /// The process's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// When it does not take it.
    pub fn tell(&mut self, line: &str) {
        let written = self.input.as_mut().map(|input| writeln!(input, "{line}"));
        if !matches!(written, Some(Ok(()))) {
            panic!("the process does not listen: {written:?}");
        }
    }

    /// The next line that it says.
    ///
    /// # Panics
    /// When it ends before, or says nothing for long.
    pub async fn line(&mut self) -> String {
        match timeout(DEADLINE, self.lines.recv()).await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("the process has ended: {:?}", self.child.wait()),
            Err(_) => panic!("the process says nothing"),
        }
    }

    /// Waits until it says this.
    ///
    /// # Panics
    /// When it ends before, or says nothing for long.
    pub async fn says(&mut self, text: &str) {
        while self.line().await != text {}
    }

    /// Ends it at once, by a signal that it cannot catch.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(mut self) {
        if let Err(error) = self.child.kill() {
            panic!("the process cannot be killed: {error}");
        }
        let _ = self.child.wait();
    }

    /// Stops it where it stands, until it is told to go on: nothing in it runs. Returns when that is so.
    ///
    /// # Panics
    /// When it cannot be stopped, or this is not Linux.
    pub async fn suspend(&self) {
        self.signal("STOP");
        eventually(DEADLINE, || self.is_suspended()).await;
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When that cannot be told to it.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Whether all its threads stand still, as far as `/proc` knows.
    fn is_suspended(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id()));
        let mut tasks = tasks.into_iter().flatten().flatten();
        // The state stands behind the name, which is in brackets; see proc_pid_stat(5).
        tasks.all(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.id());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        if !sent.as_ref().is_ok_and(std::process::ExitStatus::success) {
            panic!("{kill}: {sent:?}");
        }
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// When it fails.
    pub async fn end(mut self) {
        drop(self.input.take());
        // Its output ends with it.
        let ended = async { while self.lines.recv().await.is_some() {} };
        if timeout(DEADLINE, ended).await.is_err() {
            panic!("the process does not end");
        }
        match self.child.wait() {
            Ok(status) if status.success() => {}
            other => panic!("the process failed: {other:?}"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
