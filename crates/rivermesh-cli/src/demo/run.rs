//! The parent: starts the processes, kills one if asked, and judges.

use std::{collections::BTreeMap, path::Path, time::Duration};

use color_eyre::eyre::{Context, Result, bail};
use rivermesh_weather::{Reading, STATIONS, readings_of};
use tempfile::TempDir;
use tokio::{
    sync::mpsc,
    time::{Instant, interval, sleep_until},
};

use super::{
    board::Board,
    child::periods,
    forecast::outlook::Outlook,
    live::Live,
    summary::Summary,
    wire::{Order, Report},
};
use crate::{
    args::{DemoArgs, Speed},
    family::{self, Kid, Said},
    latency::now_us,
};

/// The consumers.
const CONSUMERS: [&str; 2] = ["alpha", "beta"];

/// The processes of the second half, which are there from the beginning.
const FORECASTER: &str = "forecaster";
const ALERT: &str = "alert";

/// The station that `--kill` kills.
const VICTIM: &str = "JFK";

/// How long a killed station stays away.
const DOWN: Duration = Duration::from_millis(300);

/// When everything is sent and nothing more arrives for so long, what is missing is lost.
const SETTLE: Duration = Duration::from_secs(5);

/// In the second half nothing at all may move for so long, and ten periods of the stations. It is more than
/// the forecaster waits for a silent station.
const STUCK: Duration = Duration::from_secs(20);

/// How long a child may take to hand in its books, and to leave.
const GOODBYE: Duration = Duration::from_secs(5);

/// How often the view is redrawn and the state looked at.
const BEAT: Duration = Duration::from_millis(100);

/// Runs the demo; returns whether every reading is accounted for.
///
/// # Errors
/// When a process cannot be started or dies, or the time is up.
pub(crate) async fn run(args: &DemoArgs, verbose: u8) -> Result<bool> {
    let mut stage = Stage::set(args, verbose)?;
    let deadline = Instant::now() + args.timeout;
    let played = tokio::select! {
        played = stage.play() => played,
        () = sleep_until(deadline) => Err(color_eyre::eyre::eyre!(
            "not finished within {:?}:\n{}", args.timeout, stage.lines().join("\n")
        )),
        _ = tokio::signal::ctrl_c() => Err(color_eyre::eyre::eyre!("interrupted")),
    };
    let lines = stage.lines();
    stage.live.show(&lines);
    let Stage {
        board,
        outlook,
        live,
        mut crew,
        stations,
        ..
    } = stage;
    live.finish();
    let leaving = crew.values_mut().map(|kid| kid.dismiss(GOODBYE));
    futures::future::join_all(leaving).await;
    played?;
    let summary = Summary::of(&board, &outlook, &stations)?;
    if args.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        println!("\n{summary}");
    }
    Ok(summary.ok)
}

struct Stage {
    speed: Speed,
    kill: KillPlan,
    verbose: u8,
    network: String,
    dir: TempDir,
    stations: Vec<(&'static str, Vec<Reading>)>,
    board: Board,
    outlook: Outlook,
    live: Live,
    crew: BTreeMap<String, Kid>,
    send: mpsc::Sender<Said<Report>>,
    said: mpsc::Receiver<Said<Report>>,
}

/// Where the killing stands.
#[derive(Debug, Clone, Copy)]
enum KillPlan {
    /// Nobody is to be killed (any more).
    None,
    /// When this many items were accepted.
    At(u64),
    /// It is being buried: its last words are still to be read.
    Dying,
    /// It comes back then.
    BackAt(Instant),
}

impl Stage {
    fn set(args: &DemoArgs, verbose: u8) -> Result<Self> {
        let mut stations = Vec::new();
        for origin in STATIONS {
            let mut readings = readings_of(origin)?;
            if let Some(limit) = args.limit {
                readings.truncate(usize::try_from(limit.get()).unwrap_or(usize::MAX));
            }
            stations.push((origin, readings));
        }
        let rows: Vec<_> = stations
            .iter()
            .map(|(name, rows)| (*name, rows.len() as u64))
            .collect();
        let half = rows
            .iter()
            .find(|row| row.0 == VICTIM)
            .map_or(0, |row| row.1 / 2);
        let (send, said) = family::reports();
        Ok(Self {
            speed: args.speed,
            kill: if args.kill {
                KillPlan::At(half)
            } else {
                KillPlan::None
            },
            verbose,
            network: format!("demo-{:016x}", rand::random::<u64>()),
            dir: tempfile::Builder::new()
                .prefix("rivermesh-demo-")
                .tempdir()
                .wrap_err("cannot make a folder for the demo's nodes to meet in")?,
            board: Board::new(&rows, &CONSUMERS).with_members(&[FORECASTER, ALERT]),
            outlook: Outlook::new(&rows),
            stations,
            live: Live::new(args.json),
            crew: BTreeMap::new(),
            send,
            said,
        })
    }

    /// From the first process to the books of all consumers.
    async fn play(&mut self) -> Result<()> {
        for consumer in CONSUMERS {
            self.spawn(consumer, vec!["demo-consumer".to_owned()])?;
        }
        let speed = format!("--speed={}", self.speed);
        self.spawn(FORECASTER, vec!["demo-forecaster".to_owned(), speed])?;
        self.spawn(ALERT, vec!["demo-alert".to_owned()])?;
        for (station, _) in self.stations.clone() {
            self.spawn_station(station, 0)?;
        }
        let mut beat = interval(BEAT);
        let mut progress = (0, Instant::now());
        while !self.board.is_complete() {
            tokio::select! {
                Some(said) = self.said.recv() => self.on_said(said).await?,
                _ = beat.tick() => self.on_beat()?,
            }
            self.kill_if_due().await?;
            if self.board.progress() != progress.0 || !self.board.is_sent() {
                progress = (self.board.progress(), Instant::now());
            } else if progress.1.elapsed() > SETTLE {
                self.live
                    .tell("nothing more arrives, though not everything did");
                return self.collect().await;
            }
        }
        self.board.clock(now_us());
        self.second_half().await?;
        self.collect().await
    }

    /// The stations send their hours again, out of order and late, until all is grouped and foretold.
    async fn second_half(&mut self) -> Result<()> {
        self.live.keep(&self.board.lines());
        self.live.tell("");
        self.live
            .tell("now the same hours again, out of order and late, to the forecaster");
        self.outlook.begin(now_us());
        for (station, _) in &self.stations {
            if let Some(kid) = self.crew.get_mut(*station) {
                kid.order(&Order::SendAgain).await?;
            }
        }
        let patience = STUCK
            + match self.speed {
                Speed::Max => Duration::ZERO,
                Speed::PerSecond(rate) => periods(rate, 10.0),
            };
        let mut beat = interval(BEAT);
        let mut progress = (0, Instant::now());
        while !self.outlook.is_complete() {
            tokio::select! {
                Some(said) = self.said.recv() => self.on_said(said).await?,
                _ = beat.tick() => self.on_beat()?,
            }
            if self.outlook.progress() != progress.0 {
                progress = (self.outlook.progress(), Instant::now());
            } else if progress.1.elapsed() > patience {
                let lacking = self.outlook.lacking();
                self.live
                    .tell(&format!("the second half does not go on: {lacking}"));
                break;
            }
        }
        self.outlook.clock(now_us());
        Ok(())
    }

    /// Where things stand, in the half that is on.
    fn lines(&self) -> Vec<String> {
        if self.outlook.has_begun() {
            self.outlook.lines()
        } else {
            self.board.lines()
        }
    }

    /// Asks the consumers for their books.
    async fn collect(&mut self) -> Result<()> {
        for consumer in CONSUMERS {
            if let Some(kid) = self.crew.get_mut(consumer) {
                kid.order(&Order::Finish).await?;
            }
        }
        let deadline = Instant::now() + GOODBYE;
        while !self.board.has_books() {
            tokio::select! {
                Some(said) = self.said.recv() => {
                    // Who has reported all may leave.
                    if let Some(report) = said.what.transpose()? {
                        self.report(&said.who, report);
                    }
                }
                () = sleep_until(deadline) => bail!("a consumer does not report what it got"),
            }
        }
        Ok(())
    }

    async fn on_said(&mut self, said: Said<Report>) -> Result<()> {
        match said.what {
            Some(report) => self.report(&said.who, report?),
            None if said.who == VICTIM && matches!(self.kill, KillPlan::Dying) => {
                self.kill = KillPlan::BackAt(Instant::now() + DOWN);
            }
            None => {
                let epitaph = match self.crew.get_mut(&said.who) {
                    Some(kid) => kid.epitaph().await,
                    None => String::new(),
                };
                bail!("the process {} ended too early ({epitaph})", said.who);
            }
        }
        Ok(())
    }

    fn report(&mut self, who: &str, report: Report) {
        let news = match report {
            Report::Forecast { about } => Vec::from_iter(self.outlook.handle(who, about)),
            report => self.board.handle(who, report),
        };
        for news in news {
            self.live.tell(&news);
        }
    }

    fn on_beat(&mut self) -> Result<()> {
        self.board.clock(now_us());
        self.outlook.clock(now_us());
        let lines = self.lines();
        self.live.show(&lines);
        if matches!(self.kill, KillPlan::BackAt(when) if Instant::now() >= when) {
            self.kill = KillPlan::None;
            let row = self.board.resume(VICTIM);
            self.live
                .tell(&format!("{VICTIM} starts again with row {row}"));
            self.spawn_station(VICTIM, row)?;
        }
        Ok(())
    }

    async fn kill_if_due(&mut self) -> Result<()> {
        let due = matches!(self.kill, KillPlan::At(at) if self.board.accepted(VICTIM) >= at.max(1));
        if due && let Some(mut victim) = self.crew.remove(VICTIM) {
            self.kill = KillPlan::Dying;
            self.board.killed(VICTIM, now_us());
            victim.kill().await?;
            let accepted = self.board.accepted(VICTIM);
            self.live
                .tell(&format!("{VICTIM} is killed after {accepted} readings"));
        }
        Ok(())
    }

    fn spawn_station(&mut self, station: &str, first_row: u64) -> Result<()> {
        let rows = self.stations.iter().find(|(name, _)| *name == station);
        let rows = rows.map_or(0, |(_, rows)| rows.len() as u64);
        let mut args = vec![
            "demo-station".to_owned(),
            format!("--origin={station}"),
            format!("--speed={}", self.speed),
            format!("--first-row={first_row}"),
            format!("--end-row={rows}"),
            format!("--consumers={}", CONSUMERS.len()),
        ];
        // At full speed the victim would be through before anybody could kill it.
        if station == VICTIM && matches!(self.kill, KillPlan::At(_)) {
            args.push(format!("--hold-row={}", (rows * 3 / 4).max(1)));
        }
        self.spawn(station, args)
    }

    fn spawn(&mut self, name: &str, mut args: Vec<String>) -> Result<()> {
        let role = args[0].clone();
        let path = |path: &Path| path.display().to_string();
        args.extend([
            format!("--network={}", self.network),
            format!("--name={name}"),
            format!("--tag={role}"),
            "--bind=127.0.0.1:0".to_owned(),
            // The same key after a restart: the same node.
            format!(
                "--key-file={}",
                path(&self.dir.path().join(format!("{name}.key")))
            ),
            format!(
                "--rendezvous-dir={}",
                path(&self.dir.path().join("rendezvous"))
            ),
        ]);
        args.extend((0..self.verbose).map(|_| "-v".to_owned()));
        let kid = Kid::spawn(name, &args, self.send.clone())?;
        self.crew.insert(name.to_owned(), kid);
        Ok(())
    }
}
