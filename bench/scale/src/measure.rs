//! One run: a kind, a number, two processes.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use harness::{clock, process};
use kit::child::Child;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::protocol::{Kind, Order, Report, Setup};

/// Longest that a process may take to be ready: a thousand endpoints are bound in it.
const START: Duration = Duration::from_secs(60);
/// Longest until all consumers are there.
const JOIN: Duration = Duration::from_secs(120);
/// Longest that any other answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// For what a process does at its start, and after all consumers have come.
const SETTLE: Duration = Duration::from_secs(2);
/// How long idling and sending are watched.
const WINDOW: Duration = Duration::from_secs(3);
/// Between two looks at memory.
const LOOK: Duration = Duration::from_millis(100);
/// Longest that the last items may take.
const DRAIN: Duration = Duration::from_secs(3);

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Consumers on their way at once.
    pub(crate) in_flight: usize,
    /// Items a second on each stream.
    pub(crate) per_second: f64,
}

/// What was measured, of the producer's process where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// From the order to join until the producer had all consumers.
    pub(crate) joined_s: f64,
    /// CPU until then, in seconds: the producer's, the consumers'.
    pub(crate) join_cpu_s: (f64, f64),
    /// Resident memory in bytes: before there was anybody (or any stream), with all there and
    /// nothing sent, and the most while items were sent.
    pub(crate) memory: (u64, u64, u64),
    /// Cores in use while nothing was sent, and while items were.
    pub(crate) cores: (f64, f64),
    /// Items that all consumers together were to get, and got.
    pub(crate) due: u64,
    pub(crate) delivered: u64,
}

/// One run, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) count: usize,
    pub(crate) figures: Figures,
}

/// Measures. Both processes are gone when this is done.
pub(crate) fn run(kind: Kind, count: usize, load: Load) -> Result<Record> {
    let mut setup = Setup {
        kind,
        count,
        in_flight: load.in_flight,
        addr: Value::Null,
    };
    let mut producer = Session::start("producer", &setup)?;
    setup.addr = producer.up()?;
    thread::sleep(SETTLE);
    let mut empty = producer.memory();
    producer.ask(Order::Open, ANSWER)?;
    if kind != Kind::Streams {
        empty = producer.memory();
    }
    let mut consumers = Session::start("consumers", &setup)?;
    consumers.up()?;
    if kind != Kind::Raw {
        thread::sleep(SETTLE);
    }
    let mut figures = join(&mut producer, &mut consumers)?;
    thread::sleep(SETTLE);
    let (idle, cores) = producer.watched(|| thread::sleep(WINDOW));
    figures.memory = (empty, idle, idle);
    figures.cores = (cores, 0.0);
    if kind != Kind::Raw {
        send(&mut producer, &mut consumers, load, &mut figures, &setup)?;
    }
    Ok(Record {
        kind,
        count,
        figures,
    })
}

fn join(producer: &mut Session, consumers: &mut Session) -> Result<Figures> {
    let (here, there) = (producer.cpu(), consumers.cpu());
    let start_ns = clock::now_ns();
    consumers.tell(Order::Join)?;
    producer.tell(Order::Await)?;
    // Whether all could join is known before the producer has waited in vain.
    consumers.answer(JOIN)?;
    let Report::Done { at_ns } = producer.answer(JOIN)? else {
        bail!("the producer answered something else");
    };
    Ok(Figures {
        joined_s: at_ns.saturating_sub(start_ns) as f64 / 1e9,
        join_cpu_s: (producer.cpu() - here, consumers.cpu() - there),
        ..Figures::default()
    })
}

fn send(
    producer: &mut Session,
    consumers: &mut Session,
    load: Load,
    figures: &mut Figures,
    setup: &Setup,
) -> Result<()> {
    let pace = Order::Pace {
        per_second: load.per_second,
        seconds: WINDOW.as_secs_f64(),
    };
    producer.tell(pace)?;
    let (most, cores) = producer.watched(|| thread::sleep(WINDOW));
    let Report::Items { items } = producer.answer(ANSWER)? else {
        bail!("the producer answered something else");
    };
    figures.due = items * (setup.count / setup.streams()) as u64;
    let deadline = Instant::now() + DRAIN;
    loop {
        let Report::Items { items } = consumers.ask(Order::Count, ANSWER)? else {
            bail!("the consumers answered something else");
        };
        figures.delivered = items;
        if items >= figures.due || Instant::now() > deadline {
            break;
        }
        thread::sleep(LOOK);
    }
    figures.memory.2 = most;
    figures.cores.1 = cores;
    Ok(())
}

/// A process of a run.
struct Session {
    who: &'static str,
    child: Child,
}

impl Session {
    fn start(who: &'static str, setup: &Setup) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut child = Child::start(Command::new(program).args(["role", who]))?;
        child.tell(setup)?;
        Ok(Self { who, child })
    }

    fn tell(&mut self, order: Order) -> Result<()> {
        self.child
            .tell(&order)
            .with_context(|| format!("the {} is gone", self.who))
    }

    fn answer(&self, patience: Duration) -> Result<Report> {
        let line = self.child.line(patience);
        let line = line.with_context(|| format!("the {}", self.who))?;
        match serde_json::from_str(&line)? {
            Report::Failed { why } => bail!("the {}: {why}", self.who),
            report => Ok(report),
        }
    }

    fn ask(&mut self, order: Order, patience: Duration) -> Result<Report> {
        self.tell(order)?;
        self.answer(patience)
    }

    fn up(&self) -> Result<Value> {
        match self.answer(START)? {
            Report::Up { addr } => Ok(addr),
            other => bail!("the {} answered {other:?}", self.who),
        }
    }

    fn cpu(&self) -> f64 {
        process::cpu(self.child.id()).map_or(0.0, |used| used.as_secs_f64())
    }

    fn memory(&self) -> u64 {
        process::resident_memory(self.child.id()).unwrap_or(0)
    }

    /// The most memory and the cores in use while something goes on.
    fn watched(&self, during: impl FnOnce() + Send) -> (u64, f64) {
        let (begin, cpu) = (Instant::now(), self.cpu());
        let mut most = 0;
        thread::scope(|scope| {
            let during = scope.spawn(during);
            while !during.is_finished() {
                most = most.max(self.memory());
                thread::sleep(LOOK);
            }
        });
        let cores = (self.cpu() - cpu) / begin.elapsed().as_secs_f64();
        (most, cores)
    }
}
