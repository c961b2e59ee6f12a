//! Processes of this program that work for another one of it: JSON lines down their stdin and up
//! their stdout. A child whose stdin ends must exit, so none outlives its parent.

use std::{
    io::{self, BufRead, Write},
    process::Stdio,
};

use color_eyre::eyre::{Context, OptionExt, Result, eyre};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
};

/// Reports that may wait to be looked at, per parent; children then wait in their turn.
const REPORTS: usize = 1024;

/// Orders that may wait in a child.
const ORDERS: usize = 16;

/// What a child said, or that its stdout ended.
#[derive(Debug)]
pub(crate) struct Said<R> {
    /// The child's name.
    pub(crate) who: String,
    /// The report; nothing at the end; an error when it cannot be understood.
    pub(crate) what: Option<Result<R>>,
}

/// Where the reports of all children come together.
pub(crate) fn reports<R>() -> (mpsc::Sender<Said<R>>, mpsc::Receiver<Said<R>>) {
    mpsc::channel(REPORTS)
}

/// A child process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Kid {
    process: Child,
    stdin: Option<ChildStdin>,
}

impl Kid {
    /// Starts this program with other arguments. What it reports goes to `reports`.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub(crate) fn spawn<R: DeserializeOwned + Send + 'static>(
        who: &str,
        args: &[String],
        reports: mpsc::Sender<Said<R>>,
    ) -> Result<Self> {
        let program = std::env::current_exe().wrap_err("cannot tell where this program lies")?;
        let mut process = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .wrap_err_with(|| format!("cannot start the process {who}"))?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().ok_or_eyre("a child without stdout")?;
        let who = who.to_owned();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            loop {
                let what = match lines.next_line().await {
                    Ok(Some(line)) => Some(serde_json::from_str(&line).map_err(|error| {
                        eyre!("{who} said what is not a report ({error}): {line}")
                    })),
                    Ok(None) => None,
                    Err(error) => Some(Err(error.into())),
                };
                let goes_on = matches!(what, Some(Ok(_)));
                let who = who.clone();
                if reports.send(Said { who, what }).await.is_err() || !goes_on {
                    return;
                }
            }
        });
        Ok(Self { process, stdin })
    }

    /// Gives an order. An order to a child that is gone is lost; its end is reported anyway.
    pub(crate) async fn order(&mut self, order: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        if let Some(stdin) = &mut self.stdin {
            // The pipe of a child that died is broken, which its end of stdout tells as well.
            let _ = stdin.write_all(&line).await;
        }
        Ok(())
    }

    /// Kills it at once, as a crash would, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.wrap_err("cannot kill a child")
    }

    /// Closes its stdin, waits for its end a while, and kills it after.
    pub(crate) async fn dismiss(&mut self, patience: std::time::Duration) {
        drop(self.stdin.take());
        if tokio::time::timeout(patience, self.process.wait())
            .await
            .is_err()
        {
            let _ = self.process.kill().await;
        }
    }

    /// Its process id while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// How it ended, for people; empty while it runs.
    pub(crate) async fn epitaph(&mut self) -> String {
        let patience = std::time::Duration::from_secs(1);
        match tokio::time::timeout(patience, self.process.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => String::new(),
        }
    }
}

/// The orders that a child gets; the channel ends when the parent is gone. A thread of its own
/// reads them, because a blocking read of stdin would hold up the end of the runtime.
pub(crate) fn orders<O: DeserializeOwned + Send + 'static>() -> mpsc::Receiver<O> {
    let (send, receive) = mpsc::channel(ORDERS);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            let Ok(order) = serde_json::from_str(&line) else {
                return;
            };
            if send.blocking_send(order).is_err() {
                return;
            }
        }
    });
    receive
}

/// Reports to the parent.
///
/// # Errors
/// When the parent is gone.
pub(crate) fn say(report: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(&line)
        .and_then(|()| stdout.flush())
        .wrap_err("the parent process is gone")
}
