//! What asking for tickets costs: the CPU time of an admission, and that of an item, with and
//! without. Prints two tables.
//!
//! `cargo bench -p rivermesh --bench admission`; Linux only, because it reads the CPU time of this process from
//! `/proc`. Both sides are in the process, so what is counted is the producer's and the consumer's work together, QUIC
//! and its encryption included.

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rivermesh::{
    Condition, Consumer, Event, Lag, Node, Producer, SecretKey,
    admission::{Authority, Grant, Right, Ticket, Verifier, delegate},
    discovery::Rendezvous,
};

type Failure = Box<dyn std::error::Error>;

const NETWORK: &str = "bench admission";
/// How often each thing is measured, in turns; the median counts.
const ROUNDS: usize = 7;
/// Subscriptions of a round, one after the other.
const ADMISSIONS: usize = 300;
/// Items of a round.
const ITEMS: u32 = 1_000_000;
/// Bytes of an item.
const ITEM: usize = 64;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let bench = Bench::new().await?;
        bench.admissions().await?;
        bench.items().await
    })
}

struct Bench {
    producing: Node,
    consuming: Node,
    authority: Authority,
}

/// What a consumer shows.
#[derive(Clone, Copy, PartialEq)]
enum Shows {
    /// Nothing, and nothing is asked for.
    Nothing,
    /// The same ticket each time, which the producer knows after the first.
    Same,
    /// Each time another one, of so many links.
    New(u8),
}

impl Bench {
    async fn new() -> Result<Self, Failure> {
        let builder = || {
            Node::builder(NETWORK)
                .bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
                .rendezvous(Rendezvous::Off)
        };
        let producing = builder().spawn().await?;
        let consuming = builder().bootstrap(producing.addr()).spawn().await?;
        let authority = Authority::new(NETWORK, SecretKey::generate());
        Ok(Self {
            producing,
            consuming,
            authority,
        })
    }

    fn producer(&self, stream: &str, asks: bool) -> Result<Producer<Bytes>, Failure> {
        let mut producer = self
            .producing
            .producer()
            .stream(stream)
            .allow_lag([Lag::Block])
            .online_when(Condition::at_least(1));
        if asks {
            producer = producer.require_ticket(Verifier::new().trust(self.authority.id()));
        }
        producer
            .build()
            .map_err(|error| format!("{error:?}").into())
    }

    /// A ticket to consume everything, that was passed on until it has so many links.
    fn ticket(&self, links: u8) -> Result<Ticket, Failure> {
        let keys: Vec<SecretKey> = (1..links).map(|_| SecretKey::generate()).collect();
        let mut holders = keys.iter().map(SecretKey::public).collect::<Vec<_>>();
        holders.push(self.consuming.id());
        let grant = |n: usize| Grant::new(holders[n], "*", [Right::Consume]);
        let mut ticket = self.authority.issue(&grant(0))?;
        for (n, key) in keys.iter().enumerate() {
            ticket = delegate(&ticket, key, &grant(n + 1))?;
        }
        Ok(ticket)
    }

    async fn consume(
        &self,
        stream: &str,
        ticket: Option<&Ticket>,
    ) -> Result<Consumer<Bytes>, Failure> {
        let mut consumer = self.consuming.consumer().stream(stream).lag(Lag::Block);
        if let Some(ticket) = ticket {
            consumer = consumer.ticket(ticket);
        }
        let mut consumer = consumer.build().map_err(|error| error.to_string())?;
        loop {
            match consumer.next_event().await {
                Some(Event::Joined { .. }) => return Ok(consumer),
                Some(Event::Refused { error, .. }) => return Err(error.into()),
                Some(_) => {}
                None => return Err("no consumer any more".into()),
            }
        }
    }

    #[expect(clippy::print_stdout, reason = "the table is what it is for")]
    async fn admissions(&self) -> Result<(), Failure> {
        let _open = self.producer("open", false)?;
        let _asks = self.producer("asks", true)?;
        let cells = [
            ("no ticket is asked for", Shows::Nothing),
            ("a ticket that was shown before", Shows::Same),
            ("a new ticket each time, 1 link", Shows::New(1)),
            ("a new ticket each time, 4 links", Shows::New(4)),
        ];
        let mut took = vec![Vec::new(); cells.len()];
        // Before the first is measured, all has happened once.
        for round in 0..=ROUNDS {
            for (n, (_, shows)) in cells.iter().enumerate() {
                let cell = self.admit(*shows).await?;
                if round > 0 {
                    took[n].push(cell);
                }
            }
        }
        println!(
            "| a subscription, {ADMISSIONS} in turn | CPU, us | more than without, us | time, us |"
        );
        println!("| --- | ---: | ---: | ---: |");
        let mut without = None;
        for ((what, _), took) in cells.iter().zip(&took) {
            let (cpu, time) = (median(took, 0), median(took, 1));
            let base = *without.get_or_insert(cpu);
            println!("| {what} | {cpu:.0} | {:+.0} | {time:.0} |", cpu - base);
        }
        println!();
        Ok(())
    }

    /// CPU and time of one subscription, in microseconds.
    async fn admit(&self, shows: Shows) -> Result<[f64; 2], Failure> {
        let same = self.ticket(1)?;
        let ticket = |_| match shows {
            Shows::Nothing => Ok(None),
            Shows::Same => Ok(Some(same.clone())),
            Shows::New(links) => self.ticket(links).map(Some),
        };
        let shown: Result<Vec<_>, _> = (0..ADMISSIONS).map(ticket).collect();
        let shown = shown?;
        let begun = Begun::now()?;
        for ticket in &shown {
            let stream = if ticket.is_some() { "asks" } else { "open" };
            drop(self.consume(stream, ticket.as_ref()).await?);
        }
        begun.each(ADMISSIONS as f64)
    }

    #[expect(clippy::print_stdout, reason = "the table is what it is for")]
    async fn items(&self) -> Result<(), Failure> {
        let mut took = [Vec::new(), Vec::new()];
        let ticket = self.ticket(1)?;
        for round in 0..=ROUNDS {
            // In turns, and each first as often as the other.
            for n in [round % 2, (round + 1) % 2] {
                let stream = format!("items-{n}");
                let producer = self.producer(&stream, n == 1)?;
                let ticket = (n == 1).then_some(&ticket);
                let mut consumer = self.consume(&stream, ticket).await?;
                let cell = deliver(&producer, &mut consumer).await?;
                if round > 0 {
                    took[n].push(cell);
                }
            }
        }
        println!(
            "| an item of {ITEM} B, {ITEMS} to one consumer | CPU, ns | least to most | items/s |"
        );
        println!("| --- | ---: | ---: | ---: |");
        for (what, took) in ["no ticket is asked for", "a ticket is asked for"]
            .iter()
            .zip(&took)
        {
            let mut cpu: Vec<f64> = took.iter().map(|cell| cell[0] * 1e3).collect();
            cpu.sort_by(f64::total_cmp);
            println!(
                "| {what} | {:.0} | {:.0} to {:.0} | {:.0} |",
                median(took, 0) * 1e3,
                cpu[0],
                cpu[cpu.len() - 1],
                1e6 / median(took, 1)
            );
        }
        Ok(())
    }
}

/// Sends and receives a round; gives CPU and time of one item, in microseconds.
async fn deliver(
    producer: &Producer<Bytes>,
    consumer: &mut Consumer<Bytes>,
) -> Result<[f64; 2], Failure> {
    producer.online().await;
    let begun = Begun::now()?;
    let send = async {
        let item = Bytes::from(vec![7; ITEM]);
        for _ in 0..ITEMS {
            producer
                .send(item.clone())
                .await
                .map_err(|error| error.to_string())?;
        }
        Ok::<_, String>(())
    };
    let receive = async {
        for _ in 0..ITEMS {
            consumer.recv().await.ok_or("no item")?;
        }
        Ok::<_, String>(())
    };
    tokio::try_join!(send, receive)?;
    begun.each(f64::from(ITEMS))
}

struct Begun {
    at: Instant,
    cpu: Duration,
}

impl Begun {
    fn now() -> io::Result<Self> {
        let (at, cpu) = (Instant::now(), cpu()?);
        Ok(Self { at, cpu })
    }

    /// CPU and time since then, for each of so many, in microseconds.
    fn each(&self, count: f64) -> Result<[f64; 2], Failure> {
        let spent = (cpu()? - self.cpu, self.at.elapsed());
        Ok([spent.0, spent.1].map(|time| time.as_secs_f64() * 1e6 / count))
    }
}

/// What the threads of this process have run for; see proc_pid_schedstat in the kernel's documentation.
fn cpu() -> io::Result<Duration> {
    let mut ns = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let first = stat.split(' ').next().unwrap_or_default();
        ns += first.parse::<u64>().map_err(io::Error::other)?;
    }
    Ok(Duration::from_nanos(ns))
}

fn median(cells: &[[f64; 2]], which: usize) -> f64 {
    let mut numbers: Vec<f64> = cells.iter().map(|cell| cell[which]).collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
