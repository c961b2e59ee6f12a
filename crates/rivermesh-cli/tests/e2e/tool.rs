//! Running the program with deadlines, and reading what it says.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The longest that anything here may take. Far more than it does, for machines under load.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A place where processes find each other, and nobody else does.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The program, about to be started with these arguments.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rivermesh"));
        command
            .args(args)
            .env("RIVERMESH_RENDEZVOUS_DIR", self.path().join("rendezvous"))
            .env_remove("RIVERMESH_NETWORK")
            .env_remove("RIVERMESH_NETWORK_KEY")
            .env_remove("RUST_LOG");
        command
    }

    /// Starts the program.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::start(&mut self.command(args))
    }

    /// Runs the program to its end with this input.
    pub(crate) fn run(&self, args: &[&str], input: &str) -> Done {
        let mut running = self.start(args);
        running.write(input);
        running.finish()
    }
}

/// A process that is killed when its test ends, however it ends.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    stdout: Option<JoinHandle<()>>,
    stderr: Option<JoinHandle<()>>,
    said: Arc<Mutex<String>>,
    what: String,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    /// Lines of stdout that no test has taken before.
    pub(crate) lines: Vec<String>,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let what = format!("{:?}", command.get_args().collect::<Vec<_>>());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stdout = std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The test may have seen enough.
                let _ = send.send(line);
            }
        });
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(String::new()));
        let saying = Arc::clone(&said);
        let stderr = std::thread::spawn(move || {
            for line in stderr.lines() {
                *saying.lock().unwrap() += &(line.unwrap() + "\n");
            }
        });
        Self {
            child,
            lines,
            stdout: Some(stdout),
            stderr: Some(stderr),
            said,
            what,
        }
    }

    /// Writes to its stdin.
    pub(crate) fn write(&mut self, input: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        // It need not read everything.
        let _ = stdin.write_all(input.as_bytes());
        let _ = stdin.flush();
    }

    /// The next line of its stdout.
    pub(crate) fn line(&mut self) -> String {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => line,
            Err(error) => panic!("{} says nothing: {error}", self.what),
        }
    }

    /// The next line of its stdout that passes.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Everything it has said on stderr, once this is part of it.
    pub(crate) fn says(&self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let said = self.said.lock().unwrap().clone();
            if said.contains(text) {
                return said;
            }
            assert!(
                Instant::now() < deadline,
                "{} says only:\n{said}",
                self.what
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills a process that it has started, known by a word of its command line.
    #[cfg(target_os = "linux")]
    pub(crate) fn kill_child(&self, with: &str) {
        let parent = format!("PPid:\t{}", self.child.id());
        let read = |pid: &Path, file: &str| std::fs::read(pid.join(file)).unwrap_or_default();
        let has = |text: Vec<u8>, line: &str| {
            let text = String::from_utf8_lossy(&text).replace('\0', "\n");
            text.lines().any(|one| one == line)
        };
        let processes = std::fs::read_dir("/proc").unwrap();
        let mut processes = processes.map(|entry| entry.unwrap().path());
        let child = processes
            .find(|pid| has(read(pid, "status"), &parent) && has(read(pid, "cmdline"), with));
        let child = child.unwrap();
        let pid = child.file_name().unwrap();
        let sent = Command::new("kill").arg("-KILL").arg(pid).status();
        assert!(sent.unwrap().success());
    }

    /// Asks it to end, as Ctrl-C does.
    #[cfg(unix)]
    pub(crate) fn interrupt(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Ends its stdin and waits for its end.
    pub(crate) fn finish(mut self) -> Done {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let said = self.said.lock().unwrap();
                panic!("{} does not end; it said:\n{said}", self.what);
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        self.stdout.take().unwrap().join().unwrap();
        self.stderr.take().unwrap().join().unwrap();
        Done {
            status,
            lines: self.lines.try_iter().collect(),
            stderr: std::mem::take(&mut self.said.lock().unwrap()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Done {
    /// Itself, when it ended well.
    #[track_caller]
    pub(crate) fn good(self) -> Self {
        assert!(self.status.success(), "{self:#?}");
        self
    }

    /// Its lines as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let parse = |line: &String| serde_json::from_str(line);
        self.lines
            .iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .unwrap()
    }
}

/// A network key that ends in this digit, as hexadecimal.
pub(crate) fn key(digit: char) -> String {
    format!("{:0>64}", digit)
}
