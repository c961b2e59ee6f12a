//! The producer's process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::mpsc, task::JoinHandle};

use crate::{
    adapter::{Adapter, Error, Sender, say},
    clock,
    payload::{Filler, Item, PROBE},
    protocol::{Order, Report, Sent, Setup},
};

/// Items between two looks at whether to stop.
const STRIDE: u64 = 64;
/// How long a `send` that waits may take to come back when the run is over.
const GRACE: Duration = Duration::from_secs(10);

/// The sender and what is needed to make items: with the process's control, or with the task that
/// sends.
struct Load<S> {
    sender: S,
    /// For as long as the process, so that an item can be a value of its own.
    filler: &'static Filler,
    probes: u64,
    sent: Sent,
}

type Running<S> = JoinHandle<anyhow::Result<Load<S>>>;

pub(crate) async fn run<A: Adapter>(
    setup: Setup,
    mut orders: mpsc::Receiver<Result<Order, Error>>,
) -> Result<(), Error> {
    let started = A::produce(&setup.spec, setup.server).await;
    let (sender, addr) = started.map_err(|error| Error::Adapter("cannot produce", error))?;
    let ignored = setup.spec.transport.beyond(A::knobs(&setup.spec));
    say(&Report::Up { addr, ignored })?;
    let mut idle = Some(Load {
        sender,
        filler: Box::leak(Box::new(Filler::new(setup.spec.size))),
        probes: 0,
        sent: Sent::default(),
    });
    let mut running: Option<Running<A::Sender>> = None;
    let stop = Arc::new(AtomicBool::new(false));
    while let Some(order) = orders.recv().await {
        let order = order?;
        match (order, idle.take(), running.take()) {
            (Order::Probe, Some(mut load), None) => {
                let probed = load.probe().await;
                probed.map_err(|error| Error::Adapter("cannot send a probe", error))?;
                idle = Some(load);
                say(&Report::Going)?;
            }
            (Order::Saturate, Some(load), None) => {
                running = Some(tokio::spawn(load.saturate(Arc::clone(&stop))));
                say(&Report::Going)?;
            }
            (
                Order::Pace {
                    start_ns,
                    rate,
                    end_ns,
                },
                Some(load),
                None,
            ) => {
                let (runtime, stop) = (Handle::current(), Arc::clone(&stop));
                running = Some(tokio::task::spawn_blocking(move || {
                    load.pace(&runtime, start_ns, rate, end_ns, &stop)
                }));
                say(&Report::Going)?;
            }
            (Order::Stop, None, Some(running)) => {
                stop.store(true, Relaxed);
                let load = stopped(running).await?;
                say(&Report::Done(load.sent))?;
                // Kept: its connections must not close before all is received.
                idle = Some(load);
                stop.store(false, Relaxed);
            }
            (order, ..) => return Err(Error::Role(order)),
        }
    }
    Ok(())
}

async fn stopped<S>(running: Running<S>) -> Result<Load<S>, Error> {
    let failed = |error| Error::Adapter("cannot send", error);
    let ended = tokio::time::timeout(GRACE, running).await;
    let ended = ended.map_err(|_| failed(anyhow::anyhow!("a send does not come back")))?;
    let ended = ended.map_err(|error| failed(error.into()))?;
    ended.map_err(failed)
}

impl<S: Sender> Load<S> {
    async fn probe(&mut self) -> anyhow::Result<()> {
        let number = PROBE | self.probes;
        self.probes += 1;
        let item = Item::new(number, 0, self.filler);
        self.sender.send(&item).await?;
        self.sender.flush().await
    }

    /// As fast as the peer takes items.
    async fn saturate(mut self, stop: Arc<AtomicBool>) -> anyhow::Result<Self> {
        let filler = self.filler;
        while !stop.load(Relaxed) {
            for _ in 0..STRIDE {
                let item = Item::new(self.sent.items, 0, filler);
                self.sender.send(&item).await?;
                self.sent.items += 1;
            }
        }
        self.sender.flush().await?;
        Ok(self)
    }

    /// By an open-loop schedule: an item's time does not depend on how long those before it took.
    ///
    /// On a thread of its own, because the runtime's timer has a grain of 1 ms, which would be
    /// measured as latency; a thread's sleep is finer.
    fn pace(
        mut self,
        runtime: &Handle,
        start_ns: u64,
        rate: f64,
        end_ns: u64,
        stop: &AtomicBool,
    ) -> anyhow::Result<Self> {
        clock::sharpen_sleep();
        let filler = self.filler;
        let items = due_before(rate, end_ns.saturating_sub(start_ns));
        while self.sent.items < items && !stop.load(Relaxed) {
            let due = start_ns + offset_ns(self.sent.items, rate);
            let mut now = clock::now_ns();
            if now < due {
                runtime.block_on(self.sender.flush())?;
                now = clock::now_ns();
                while now < due && !stop.load(Relaxed) {
                    clock::sleep_until(due);
                    now = clock::now_ns();
                }
            }
            self.sent.behind_ns = self.sent.behind_ns.max(now.saturating_sub(due));
            let item = Item::new(self.sent.items, due, filler);
            runtime.block_on(self.sender.send(&item))?;
            self.sent.items += 1;
        }
        runtime.block_on(self.sender.flush())?;
        self.sent.unsent = items.saturating_sub(self.sent.items);
        Ok(self)
    }
}

/// Items that are due before so many nanoseconds have passed.
fn due_before(rate: f64, ns: u64) -> u64 {
    (rate * ns as f64 / 1e9).ceil() as u64
}

/// When an item is due, in nanoseconds from the start.
fn offset_ns(number: u64, rate: f64) -> u64 {
    (number as f64 * 1e9 / rate) as u64
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn the_schedule_has_the_rate() {
        assert_eq!(due_before(5000.0, 2_000_000_000), 10_000);
        assert_eq!(offset_ns(10_000, 5000.0), 2_000_000_000);
        assert_eq!(offset_ns(0, 5000.0), 0);
        assert_eq!(due_before(0.5, 1_000_000_000), 1);
    }

    /// Notes what it is given; the third send takes long.
    struct Slow(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Sender for Slow {
        async fn send(&mut self, item: &Item<'_>) -> anyhow::Result<()> {
            let third = {
                let mut all = self.0.lock().unwrap();
                all.push(item.vec());
                all.len() == 3
            };
            if third {
                let until = clock::now_ns() + 20_000_000;
                while clock::now_ns() < until {
                    std::hint::spin_loop();
                }
            }
            Ok(())
        }
    }

    #[test]
    fn a_slow_send_does_not_move_the_schedule() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let load = Load {
            sender: Slow(Arc::clone(&sent)),
            filler: Box::leak(Box::new(Filler::new(16))),
            probes: 0,
            sent: Sent::default(),
        };
        // All of it is past, so nothing waits for real time.
        let start = clock::now_ns() - 1_000_000_000;
        let stop = AtomicBool::new(false);
        let end = start + 10_000_000;
        let load = load
            .pace(runtime.handle(), start, 1000.0, end, &stop)
            .unwrap();
        assert_eq!((load.sent.items, load.sent.unsent), (10, 0));
        assert!(load.sent.behind_ns >= 1_000_000_000);
        for (number, item) in sent.lock().unwrap().iter().enumerate() {
            let due = u64::from_le_bytes(item[8..16].try_into().unwrap());
            assert_eq!(due, start + number as u64 * 1_000_000);
        }
        let sent = Arc::clone(&sent);
        let load = Load {
            sender: Slow(sent),
            filler: Box::leak(Box::new(Filler::new(16))),
            probes: 0,
            sent: Sent::default(),
        };
        let stopped = AtomicBool::new(true);
        let load = load
            .pace(runtime.handle(), start, 1000.0, end, &stopped)
            .unwrap();
        assert_eq!((load.sent.items, load.sent.unsent), (0, 10));
    }
}
