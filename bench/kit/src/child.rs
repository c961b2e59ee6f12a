//! Processes that are spoken to by lines of JSON and never left behind.

use std::{
    io::{self, BufRead, BufReader, Write},
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use serde::Serialize;
use thiserror::Error;

/// Lines that may wait; a process gives one for each order.
const LINES: usize = 4;

/// A child process. Dropping it kills it.
#[derive(Debug)]
pub struct Kid(std::process::Child);

impl Kid {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        Ok(Self(command.spawn()?))
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended, or cannot be asked.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Kid {
    fn drop(&mut self) {
        // It may be gone already; either way it is waited for, so that no zombie stays.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A child process said nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Silence {
    /// Not within the time.
    #[error("no answer in time")]
    Late,
    /// It has ended.
    #[error("it ended")]
    Ended,
}

/// A child process that takes and gives lines.
#[derive(Debug)]
pub struct Child {
    kid: Kid,
    stdin: ChildStdin,
    said: mpsc::Receiver<String>,
}

impl Child {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut kid = Kid::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let pipes = (kid.0.stdin.take(), kid.0.stdout.take());
        let (Some(stdin), Some(stdout)) = pipes else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let (say, said) = mpsc::sync_channel(LINES);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { kid, stdin, said })
    }

    /// Writes a line.
    ///
    /// # Errors
    /// When it reads no more, or the value has no JSON form.
    pub fn tell(&mut self, what: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        self.stdin.write_all(&line)
    }

    /// Waits for the next line.
    ///
    /// # Errors
    /// When none comes.
    pub fn line(&self, patience: Duration) -> Result<String, Silence> {
        self.said
            .recv_timeout(patience)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => Silence::Late,
                RecvTimeoutError::Disconnected => Silence::Ended,
            })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.kid.id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_and_its_end_is_seen() {
        let mut child = Child::start(&mut Command::new("cat")).unwrap();
        child.tell(&["a", "b"]).unwrap();
        let patience = Duration::from_secs(20);
        assert_eq!(child.line(patience).as_deref(), Ok(r#"["a","b"]"#));
        assert_eq!(child.line(Duration::ZERO), Err(Silence::Late));
        let child = Child::start(&mut Command::new("true")).unwrap();
        assert_eq!(child.line(patience), Err(Silence::Ended));
    }
}
