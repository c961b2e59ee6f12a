//! The consumers' process.

use std::sync::Arc;

use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    adapter::{Adapter, Error, say},
    clock,
    latency::Latency,
    protocol::{Order, Received, Report, Setup},
    sink::{Counters, Shared, Sink},
};

/// Consumers that start at the same time.
const AT_ONCE: usize = 8;

pub(crate) async fn run<A: Adapter>(
    setup: Setup,
    mut orders: mpsc::Receiver<Result<Order, Error>>,
) -> Result<(), Error> {
    let shared = Shared::new(setup.spec.size);
    let (all, _alive) = start::<A>(setup, &shared).await?;
    say(&Report::Up {
        addr: serde_json::Value::Null,
        ignored: Vec::new(),
    })?;
    while let Some(order) = orders.recv().await {
        match order? {
            Order::Count => {
                let counted = count(&all);
                if counted.ended > 0 {
                    let why = all.iter().find_map(|one| one.why());
                    return Err(Error::Ended(
                        why.unwrap_or_else(|| "it says not why".into()),
                    ));
                }
                say(&Report::Counted(counted))?;
            }
            Order::Record { from_ns, to_ns } => {
                shared.record(from_ns, to_ns);
                say(&Report::Going)?;
            }
            Order::Latency => {
                let mut latency = Latency::default();
                all.iter().for_each(|one| one.take_latency(&mut latency));
                let counts = latency.counts();
                say(&Report::Latency { counts })?;
            }
            other => return Err(Error::Role(other)),
        }
    }
    Ok(())
}

/// Starts all consumers, a few at a time. They live for as long as the second part is held.
async fn start<A: Adapter>(
    setup: Setup,
    shared: &Arc<Shared>,
) -> Result<(Vec<Arc<Counters>>, Vec<A::Consumer>), Error> {
    let setup = Arc::new(setup);
    let (mut all, mut alive) = (Vec::new(), Vec::new());
    let mut starting = JoinSet::new();
    let failed = |error| Error::Adapter("cannot consume", error);
    for _ in 0..setup.spec.consumers {
        if starting.len() == AT_ONCE
            && let Some(started) = starting.join_next().await
        {
            let started: Result<anyhow::Result<A::Consumer>, _> = started;
            alive.push(
                started
                    .map_err(|error| failed(error.into()))?
                    .map_err(failed)?,
            );
        }
        let (sink, counters) = Sink::new(Arc::clone(shared));
        all.push(counters);
        let setup = Arc::clone(&setup);
        starting.spawn(async move {
            let addr = setup.addr.as_ref().unwrap_or(&serde_json::Value::Null);
            A::consume(&setup.spec, setup.server, addr, sink).await
        });
    }
    while let Some(started) = starting.join_next().await {
        alive.push(
            started
                .map_err(|error| failed(error.into()))?
                .map_err(failed)?,
        );
    }
    Ok((all, alive))
}

fn count(all: &[Arc<Counters>]) -> Received {
    let mut received = Received {
        at_ns: clock::now_ns(),
        ..Received::default()
    };
    all.iter().for_each(|one| one.add_to(&mut received));
    received
}
