//! One run: a contestant, a cell of the matrix, a mode.

use std::{thread, time::Duration};

use harness::{
    Spec, clock,
    latency::Latency,
    process,
    protocol::{Order, Received, Report, Sent, Setup},
};

use crate::{
    plan::Contestant,
    record::{Figures, Mode},
    session::{Server, Session, SessionError, cpu_seconds, peak_memory},
};

/// Longest that a role may take to be ready, all consumers together.
const START: Duration = Duration::from_secs(60);
/// Longest that an answer may take. A process under full load answers late.
const ANSWER: Duration = Duration::from_secs(20);
/// Longest until all consumers have had a probe.
const JOIN: Duration = Duration::from_secs(30);
/// Processes that use less than this share of a core over `CALM` have done with finding each other.
const CALM_SHARE: f64 = 0.15;
/// How long they are watched for that.
const CALM: Duration = Duration::from_secs(1);
/// Longest that calm is waited for.
const SETTLE: Duration = Duration::from_secs(20);
/// Without a further delivery for so long, what has not come is lost.
const QUIET: Duration = Duration::from_secs(2);
/// Longest that the rest may take to arrive.
const DRAIN: Duration = Duration::from_secs(30);
/// From the order to the first item of a schedule.
const LEAD: Duration = Duration::from_millis(100);
/// After the end of a schedule, for the last items of a producer that keeps up.
const SLACK: Duration = Duration::from_millis(200);

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
}

/// The processes of a run.
struct Run {
    producer: Session,
    consumers: Session,
    pids: Vec<u32>,
    number: u32,
    _server: Option<Server>,
    ignored: Vec<String>,
}

/// What was seen at the begin and the end of the window.
struct Window {
    begin: Look,
    end: Look,
}

/// What was seen at one time.
#[derive(Clone, Copy, Debug)]
struct Look {
    received: Received,
    /// CPU seconds of the run's processes, and of all programs of the machine.
    cpu: f64,
    machine: f64,
}

/// Measures. All processes are gone when this is done.
pub(crate) fn run(
    contestant: &Contestant,
    spec: &Spec,
    mode: Mode,
    times: Times,
) -> Result<Figures, SessionError> {
    let mut run = Run::start(contestant, spec)?;
    run.joined()?;
    run.settled();
    let (window, sent) = match mode {
        Mode::Saturated => run.saturated(times)?,
        Mode::Paced { rate } => run.paced(rate, times)?,
    };
    let last = run.drained(sent)?;
    let latency = match mode {
        Mode::Saturated => None,
        Mode::Paced { .. } => run.latency()?,
    };
    let figures = window.figures(spec, sent, last);
    Ok(Figures {
        peak_memory: peak_memory(&run.pids),
        ignored: std::mem::take(&mut run.ignored),
        latency: latency.and_then(|latency| latency.quantiles()),
        ..figures
    })
}

impl Run {
    fn start(contestant: &Contestant, spec: &Spec) -> Result<Self, SessionError> {
        let program = &contestant.program;
        let server = match contestant.info.server {
            Some(_) => Some(Server::start(program)?),
            None => None,
        };
        let mut setup = Setup {
            spec: spec.clone(),
            server: server.as_ref().map(|server| server.addr),
            addr: None,
        };
        let producer = Session::start(program, "producer", &setup)?;
        let (addr, ignored) = match producer.answer("its start", START)? {
            Report::Up { addr, ignored } => (addr, ignored),
            other => return Err(producer.wrong(&other)),
        };
        setup.addr = Some(addr);
        let consumers = Session::start(program, "consumers", &setup)?;
        match consumers.answer("their start", START)? {
            Report::Up { .. } => {}
            other => return Err(consumers.wrong(&other)),
        }
        let mut pids = vec![producer.pid(), consumers.pid()];
        pids.extend(server.as_ref().map(Server::pid));
        Ok(Self {
            producer,
            consumers,
            pids,
            number: spec.consumers,
            _server: server,
            ignored,
        })
    }

    /// Sends probes until every consumer has had one.
    fn joined(&mut self) -> Result<(), SessionError> {
        let deadline = clock::now_ns() + clock::nanos(JOIN);
        loop {
            self.producer.order(Order::Probe, JOIN)?;
            thread::sleep(Duration::from_millis(50));
            let present = self.count()?.present;
            if present == self.number {
                return Ok(());
            }
            if clock::now_ns() > deadline {
                return Err(SessionError::Late {
                    who: "consumers",
                    what: format!("a probe: only {present} of {} are there", self.number),
                    seconds: JOIN.as_secs_f64(),
                });
            }
        }
    }

    /// Waits until the processes have calmed down: a network of many nodes goes on arranging itself
    /// after the consumers are there, which is not what is measured.
    fn settled(&self) {
        let deadline = clock::now_ns() + clock::nanos(SETTLE);
        while clock::now_ns() < deadline {
            let before = cpu_seconds(&self.pids);
            thread::sleep(CALM);
            if cpu_seconds(&self.pids) - before < CALM_SHARE * CALM.as_secs_f64() {
                return;
            }
        }
    }

    fn saturated(&mut self, times: Times) -> Result<(Window, Sent), SessionError> {
        self.producer.order(Order::Saturate, ANSWER)?;
        thread::sleep(times.warm_up);
        let begin = self.look()?;
        thread::sleep(times.window);
        let end = self.look()?;
        Ok((Window { begin, end }, self.stop()?))
    }

    fn paced(&mut self, rate: f64, times: Times) -> Result<(Window, Sent), SessionError> {
        let start_ns = clock::now_ns() + clock::nanos(LEAD);
        let from_ns = start_ns + clock::nanos(times.warm_up);
        let end_ns = from_ns + clock::nanos(times.window);
        let to_ns = end_ns;
        self.consumers
            .order(Order::Record { from_ns, to_ns }, ANSWER)?;
        let pace = Order::Pace {
            start_ns,
            rate,
            end_ns,
        };
        self.producer.order(pace, ANSWER)?;
        wait_until(from_ns);
        let begin = self.look()?;
        wait_until(end_ns);
        let end = self.look()?;
        thread::sleep(SLACK);
        Ok((Window { begin, end }, self.stop()?))
    }

    fn stop(&mut self) -> Result<Sent, SessionError> {
        match self.producer.ask(Order::Stop, ANSWER)? {
            Report::Done(sent) => Ok(sent),
            other => Err(self.producer.wrong(&other)),
        }
    }

    /// What was received and the CPU time used so far.
    fn look(&mut self) -> Result<Look, SessionError> {
        Ok(Look {
            received: self.count()?,
            cpu: cpu_seconds(&self.pids),
            machine: process::machine_cpu().map_or(0.0, |used| used.as_secs_f64()),
        })
    }

    fn count(&mut self) -> Result<Received, SessionError> {
        match self.consumers.ask(Order::Count, ANSWER)? {
            Report::Counted(received) => Ok(received),
            other => Err(self.consumers.wrong(&other)),
        }
    }

    /// Waits for the rest of what was sent; gives what has come in all.
    fn drained(&mut self, sent: Sent) -> Result<Received, SessionError> {
        let due = sent.items * u64::from(self.number);
        let deadline = clock::now_ns() + clock::nanos(DRAIN);
        let mut last = self.count()?;
        let mut changed_ns = last.at_ns;
        loop {
            let quiet = last.at_ns.saturating_sub(changed_ns) > clock::nanos(QUIET);
            if last.distinct() >= due || quiet || last.at_ns > deadline {
                return Ok(last);
            }
            thread::sleep(Duration::from_millis(20));
            let now = self.count()?;
            if now.items != last.items {
                changed_ns = now.at_ns;
            }
            last = now;
        }
    }

    fn latency(&mut self) -> Result<Option<Latency>, SessionError> {
        match self.consumers.ask(Order::Latency, ANSWER)? {
            Report::Latency { counts } => {
                let mut latency = Latency::default();
                latency.merge(&counts);
                Ok(Some(latency))
            }
            other => Err(self.consumers.wrong(&other)),
        }
    }
}

impl Window {
    fn figures(&self, spec: &Spec, sent: Sent, last: Received) -> Figures {
        let (begin, end) = (self.begin.received, self.end.received);
        let seconds = end.at_ns.saturating_sub(begin.at_ns).max(1) as f64 / 1e9;
        let items = end.distinct().saturating_sub(begin.distinct()) as f64;
        let due = sent.items * u64::from(spec.consumers);
        let cpu = (self.end.cpu - self.begin.cpu).max(0.0);
        let all = self.end.machine - self.begin.machine;
        Figures {
            deliveries_per_s: items / seconds,
            mb_per_s: items * f64::from(spec.size) / seconds / 1e6,
            cores: cpu / seconds,
            others: (all - cpu).max(0.0) / seconds,
            cpu_s_per_million: (items > 0.0).then(|| cpu / items * 1e6),
            due,
            lost: due.saturating_sub(last.distinct()),
            duplicates: last.duplicates,
            disordered: last.disordered,
            corrupt: last.corrupt,
            unsent: sent.unsent,
            behind_ms: sent.behind_ns as f64 / 1e6,
            ..Figures::default()
        }
    }
}

fn wait_until(ns: u64) {
    let left = ns.saturating_sub(clock::now_ns());
    thread::sleep(Duration::from_nanos(left));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rates_and_loss_is_over_the_whole_run() {
        let received = |at_ns, items, duplicates| Received {
            at_ns,
            items,
            duplicates,
            ..Received::default()
        };
        let look = |received, cpu, machine| Look {
            received,
            cpu,
            machine,
        };
        let window = Window {
            begin: look(received(1_000_000_000, 1000, 0), 1.0, 10.0),
            end: look(received(3_000_000_000, 2_001_010, 10), 4.0, 13.5),
        };
        let spec = Spec {
            consumers: 8,
            size: 256,
            ..Spec::default()
        };
        let sent = Sent {
            items: 300_000,
            ..Sent::default()
        };
        let figures = window.figures(&spec, sent, received(0, 2_399_910, 10));
        assert_eq!(figures.deliveries_per_s, 1_000_000.0);
        assert_eq!(figures.mb_per_s, 256.0);
        assert_eq!(figures.cpu_s_per_million, Some(1.5));
        assert_eq!((figures.cores, figures.others), (1.5, 0.25));
        assert_eq!((figures.due, figures.lost), (2_400_000, 100));
    }
}
