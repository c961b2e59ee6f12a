//! The processes of one run: started, asked, and never left behind.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use harness::{
    process,
    protocol::{Order, Report, Setup},
};
use kit::child::{Child, Kid, Silence};
use serde::Serialize;
use thiserror::Error;

/// Longest that a server may take to listen.
const SERVER_START: Duration = Duration::from_secs(10);

/// A process did not do what it should. The run has no result then.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum SessionError {
    /// It could not be started.
    #[error("the {0} cannot be started")]
    Start(&'static str, #[source] io::Error),
    /// It did not answer in time.
    #[error("did not finish: no answer of the {who} within {seconds:.0} s to {what}")]
    Late {
        who: &'static str,
        what: String,
        seconds: f64,
    },
    /// It ended.
    #[error("the {0} ended")]
    Ended(&'static str),
    /// It says that it cannot go on.
    #[error("the {0}: {1}")]
    Failed(&'static str, String),
    /// It said what cannot be understood.
    #[error("the {0} answered {1}")]
    Unexpected(&'static str, String),
}

/// A producer's or consumers' process.
#[derive(Debug)]
pub(crate) struct Session {
    who: &'static str,
    child: Child,
}

impl Session {
    /// Starts a role of an adapter and gives it its setup. Its first report must still be taken.
    pub(crate) fn start(
        program: &Path,
        who: &'static str,
        setup: &Setup,
    ) -> Result<Self, SessionError> {
        let child = Child::start(Command::new(program).arg(who));
        let child = child.map_err(|error| SessionError::Start(who, error))?;
        let mut session = Self { who, child };
        session.tell(setup)?;
        Ok(session)
    }

    fn tell(&mut self, what: &impl Serialize) -> Result<(), SessionError> {
        // Why it is gone stands in its last report.
        self.child.tell(what).map_err(|_| self.last_words())
    }

    fn last_words(&self) -> SessionError {
        match self.child.line(Duration::from_secs(1)) {
            Ok(line) => match serde_json::from_str(&line) {
                Ok(Report::Failed { why }) => SessionError::Failed(self.who, why),
                _ => SessionError::Unexpected(self.who, line),
            },
            Err(_) => SessionError::Ended(self.who),
        }
    }

    fn unexpected(&self, what: &impl std::fmt::Display) -> SessionError {
        SessionError::Unexpected(self.who, what.to_string())
    }

    /// Takes the next report.
    pub(crate) fn answer(&self, what: &str, patience: Duration) -> Result<Report, SessionError> {
        let line = self.child.line(patience).map_err(|silence| match silence {
            Silence::Late => SessionError::Late {
                who: self.who,
                what: what.to_owned(),
                seconds: patience.as_secs_f64(),
            },
            _ => SessionError::Ended(self.who),
        })?;
        match serde_json::from_str(&line).map_err(|_| self.unexpected(&line))? {
            Report::Failed { why } => Err(SessionError::Failed(self.who, why)),
            report => Ok(report),
        }
    }

    /// Gives an order and takes the report on it.
    pub(crate) fn ask(&mut self, order: Order, patience: Duration) -> Result<Report, SessionError> {
        self.tell(&order)?;
        self.answer(&format!("{order:?}"), patience)
    }

    /// Gives an order that is only acknowledged.
    pub(crate) fn order(&mut self, order: Order, patience: Duration) -> Result<(), SessionError> {
        match self.ask(order, patience)? {
            Report::Going => Ok(()),
            other => Err(self.unexpected(&format!("{other:?}"))),
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An answer of the wrong kind.
    pub(crate) fn wrong(&self, report: &Report) -> SessionError {
        self.unexpected(&format!("{report:?}"))
    }
}

/// A server that belongs to a peer.
#[derive(Debug)]
pub(crate) struct Server {
    kid: Kid,
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// Starts it on a free port of 127.0.0.1 and waits until it listens.
    pub(crate) fn start(program: &Path) -> Result<Self, SessionError> {
        let failed = |error| SessionError::Start("server", error);
        // The port is free again before the server takes it. Nobody else asks for it by number,
        // and a server that does not get it ends, which is found out below.
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr());
        let addr = free.map_err(failed)?;
        let mut command = Command::new(program);
        command
            .args(["server", &addr.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut kid = Kid::start(&mut command).map_err(failed)?;
        let deadline = Instant::now() + SERVER_START;
        while TcpStream::connect(addr).is_err() {
            if kid.has_ended() {
                return Err(SessionError::Ended("server"));
            }
            if Instant::now() > deadline {
                return Err(SessionError::Late {
                    who: "server",
                    what: "a connection".to_owned(),
                    seconds: SERVER_START.as_secs_f64(),
                });
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { kid, addr })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.kid.id()
    }
}

/// CPU time of all of these processes so far, in seconds.
pub(crate) fn cpu_seconds(pids: &[u32]) -> f64 {
    let used = pids.iter().filter_map(|pid| process::cpu(*pid));
    used.map(|used| used.as_secs_f64()).sum()
}

/// Peak resident memory of all of these processes, in bytes.
pub(crate) fn peak_memory(pids: &[u32]) -> u64 {
    pids.iter()
        .filter_map(|pid| process::peak_memory(*pid))
        .sum()
}
