//! A node in a process of its own, which tests kill, stop and start again.
//!
//! Takes one JSON argument, see [`rivermesh_tests::peer::Args`]; says `ready` and `done` on its
//! standard output, and ends when its standard input does.

use std::io::{Read, Write};

use rivermesh::{Condition, Node, SecretKey, discovery::Rendezvous, producer::Named};
use rivermesh_tests::{
    oracle::{ConsumerEnd, ConsumerJournal, Key, ProducerJournal},
    peer::{Acks, Args, Role},
    recorder::{ANY_LAG, Commits, Driver, Recorder, STREAM, stream},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let args: Args = serde_json::from_str(&std::env::args().nth(1).ok_or("one argument")?)?;
    let invite: rivermesh::Invite = args.invite.parse()?;
    if args.role == Role::Silent {
        return silent(&args, &invite).await;
    }
    let node = Node::builder(invite.network())
        .join(invite)
        .bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
        .rendezvous(Rendezvous::Off)
        .secret_key(SecretKey::from_bytes(&args.secret))
        .spawn()
        .await?;
    say("ready");
    match args.role {
        Role::Producer => produce(&args, &node).await?,
        Role::Keeper => keep(&args, &node).await?,
        _ => consume(&args, &node).await?,
    }
    node.shutdown().await;
    Ok(())
}

async fn produce(args: &Args, node: &Node) -> Result<(), Failure> {
    let producer = node
        .producer()
        .stream(STREAM)
        .allow_lag(ANY_LAG)
        .build()
        .map_err(|error| error.to_string())?;
    let journal = ProducerJournal::create(&args.journal, node.id(), producer.epoch(), stream())?;
    let mut driver = Driver::with_journal(producer, journal, Key::from_seed(args.seed));
    driver.send(args.items).await;
    driver.finish();
    say("done");
    input_ends().await;
    Ok(())
}

async fn keep(args: &Args, node: &Node) -> Result<(), Failure> {
    let producer = node
        .producer()
        .stream(STREAM)
        .online_when(Condition::always())
        .log_bytes(64 << 10)
        .named(Named::default())
        .durable(args.journal.with_file_name("log"))
        .build()
        .map_err(|error| error.to_string())?;
    let base = producer.recovered().ok_or("no log on disk")?.next;
    let journal = ProducerJournal::create(&args.journal, node.id(), producer.epoch(), stream())?;
    let journal = journal.begins(base)?;
    let mut driver = Driver::with_journal(producer, journal, Key::from_seed(args.seed));
    // Nobody begins behind the first item.
    driver.producer().when(Condition::at_least(1)).await;
    for _ in 0..args.items / 10 {
        driver.send_kept(10).await;
    }
    say("done");
    input_ends().await;
    driver.finish();
    Ok(())
}

async fn consume(args: &Args, node: &Node) -> Result<(), Failure> {
    let consumer = node.consumer().stream(STREAM);
    let (consumer, commits) = match &args.acks {
        Acks::None => (consumer, Commits::Never),
        Acks::Name(name) => (consumer.durable_name(name), Commits::Every(10)),
        Acks::Group(name) => (consumer.group(name), Commits::Each),
    };
    let consumer = consumer.build()?;
    let journal = ConsumerJournal::create(&args.journal, &args.name, stream())?;
    let mut recorder = Recorder::with_journal(consumer, journal).committing(commits);
    let mut end = std::pin::pin!(input_ends());
    loop {
        tokio::select! {
            more = recorder.step() => if !more { break },
            () = &mut end => break,
        }
        // What has been seen must be known when the process is killed next.
        if recorder.items() % 64 == 1 {
            recorder.flush();
        }
    }
    recorder.finish(ConsumerEnd::Stopped);
    Ok(())
}

/// Opens connections, says nothing on them, and waits until all are closed.
async fn silent(args: &Args, invite: &rivermesh::Invite) -> Result<(), Failure> {
    let endpoint = iroh::Endpoint::builder(iroh::endpoint::presets::Minimal)
        .relay_mode(iroh::RelayMode::Disabled)
        .bind()
        .await?;
    let victim = invite.nodes().first().ok_or("nobody is named")?.clone();
    say("ready");
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..args.items {
        match endpoint
            .connect(victim.clone(), rivermesh_proto::wire::ALPN)
            .await
        {
            Ok(connection) => open.push(connection),
            Err(_) => refused += 1,
        }
    }
    say(&format!("opened {} refused {refused}", open.len()));
    for connection in open {
        match connection.closed().await {
            iroh::endpoint::ConnectionError::ApplicationClosed(close) => {
                say(&format!("code {}", close.error_code));
            }
            other => say(&format!("closed without a code: {other}")),
        }
    }
    say("done");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the test reads it")]
fn say(line: &str) {
    println!("{line}");
    let _ = std::io::stdout().flush();
}

/// Resolves when the test closes this process's standard input, or dies itself.
async fn input_ends() {
    let read = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let _ = read.await;
}
