//! A group: each job goes to one of the workers, and when one of them leaves, what it had not done goes
//! to the others.

use std::collections::BTreeSet;

use rivermesh::{Condition, Consumer, Event, Node, Seq, producer::Named};
use rivermesh_examples::{Result, Room, soon};
use tokio::sync::watch;

const JOBS: u64 = 300;

#[tokio::main]
async fn main() -> Result {
    let room = Room::new()?;
    let boss = room.node("boss")?.spawn().await?;
    let yard = room.node("yard")?.spawn().await?;
    let jobs = boss
        .producer::<String>()
        .stream("jobs")
        .named(Named::default().max_per_member(16, 1 << 20))
        .build()?;
    let (stop, stopped) = watch::channel(false);
    let mut lazy = worker(&yard)?;
    let one = tokio::spawn(work(worker(&yard)?, stopped.clone()));
    let other = tokio::spawn(work(worker(&yard)?, stopped));
    soon("the workers", jobs.when(Condition::at_least(3))).await?;
    for n in 0..JOBS {
        jobs.send(format!("job {n}")).await?;
    }

    // One takes some jobs, and goes home without having done them.
    let mut left = BTreeSet::new();
    while left.len() < 5 {
        if let Some(Event::Item(job)) = soon("a job", lazy.next_event()).await? {
            left.insert(job.seq);
        }
    }
    drop(lazy);

    soon("all jobs to be done", async {
        while jobs.named()[0].items > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await?;
    stop.send_replace(true);
    let (one, other) = (one.await?, other.await?);
    println!("{} jobs by one, {} by the other", one.len(), other.len());
    assert!(one.is_disjoint(&other), "each job was done once");
    assert_eq!(one.len() + other.len(), JOBS as usize);
    assert!(
        left.iter()
            .all(|job| one.contains(job) || other.contains(job))
    );
    Ok(())
}

fn worker(yard: &Node) -> Result<Consumer<String>> {
    Ok(yard.consumer().stream("jobs").group("workers").build()?)
}

/// Does jobs until told to stop; gives their numbers.
async fn work(mut jobs: Consumer<String>, mut stop: watch::Receiver<bool>) -> BTreeSet<Seq> {
    let mut done = BTreeSet::new();
    loop {
        let event = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return done,
            event = jobs.next_event() => event,
        };
        let Some(Event::Item(job)) = event else {
            continue;
        };
        // The job would be done here. It is ours until we say so.
        if job.commit().is_ok() {
            done.insert(job.seq);
        }
    }
}
