//! Outputs that are created while the program runs: a client asks an HTTP endpoint for what it wants,
//! and gets it, line by line, until it leaves.
//!
//! `curl http://ADDRESS/readings?station=JFK` in a browser's or shell's stead; here the clients are
//! part of the program, so that it ends by itself.

use std::{net::SocketAddr, time::Duration};

use futures::{Sink, stream};
use rivermesh::flow::{Filter, Supervisor, router};
use rivermesh_examples::{Result, soon};
use rivermesh_weather::{Reading, readings};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
    sync::mpsc,
};

/// A request's first line and headers are not longer than this, in bytes.
const MAX_REQUEST: u64 = 4096;

type Readings = Supervisor<Reading, String>;

#[tokio::main]
async fn main() -> Result {
    let supervisor = Readings::with_max_outputs(100);
    // Nobody listens yet; the router pulls all the same. What comes here goes to whoever wants it.
    let (feed, mut fed) = mpsc::channel::<Reading>(64);
    let input = stream::poll_fn(move |cx| fed.poll_recv(cx));
    let router = supervisor.route(input, |reading| reading.station.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(serve(listener, supervisor.clone()));
    println!("listening at http://{address}/readings?station=JFK&below=20");

    let all = readings()?;
    for reading in all.iter().take(1000) {
        feed.send(reading.clone()).await?;
    }
    let mut jfk = soon("an answer", connect(address, "/readings?station=JFK")).await??;
    let mut cold = soon("an answer", connect(address, "/readings?below=20")).await??;
    let refused = soon("an answer", connect(address, "/readings?below=warm")).await?;
    println!(
        "a predicate that is none: {}",
        refused.err().ok_or("it was taken")?
    );
    soon("both outputs", async {
        while supervisor.outputs().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await?;
    let sending = tokio::spawn(send(all, feed));
    for _ in 0..3 {
        let line = soon("a line", jfk.next_line())
            .await??
            .ok_or("the stream has ended")?;
        println!("JFK: {line}");
        assert!(line.contains("JFK"));
        let line = soon("a line", cold.next_line())
            .await??
            .ok_or("the stream has ended")?;
        println!("below 20 °F: {line}");
    }
    // A client that leaves is removed when a line cannot be written to it.
    drop(jfk);
    soon("the end of the input", sending).await??;
    soon("the router", router.ended()).await?;
    let left = supervisor.outputs().len();
    println!("{} readings, {left} client left", router.stats().items);
    // The other gets what is queued for it, and then the end.
    let (ended, rest) = tokio::join!(supervisor.drain(Duration::from_secs(10)), rest(cold));
    println!(
        "it got {} more lines; {} output drained",
        rest?,
        ended.len()
    );
    serving.abort();
    Ok(())
}

/// Sends slowly enough for outputs that skip the oldest when they are behind.
async fn send(all: Vec<Reading>, feed: mpsc::Sender<Reading>) {
    for reading in all {
        if feed.send(reading).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn rest(mut lines: Lines<BufReader<TcpStream>>) -> Result<usize> {
    let mut count = 0;
    while lines.next_line().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// Takes connections until it is aborted.
async fn serve(listener: TcpListener, supervisor: Readings) -> std::io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        let supervisor = supervisor.clone();
        tokio::spawn(async move {
            // A client that says nothing of use within this time is not waited for.
            let within = Duration::from_secs(5);
            let _ = tokio::time::timeout(within, answer(client, &supervisor)).await;
        });
    }
}

/// Reads a request and makes the connection an output.
async fn answer(client: TcpStream, supervisor: &Readings) -> std::io::Result<()> {
    let (reading, mut writing) = client.into_split();
    let mut lines = BufReader::new(reading.take(MAX_REQUEST)).lines();
    let request = lines.next_line().await?.unwrap_or_default();
    while lines
        .next_line()
        .await?
        .is_some_and(|header| !header.is_empty())
    {}
    let wanted = request
        .strip_prefix("GET /readings")
        .and_then(|rest| rest.split(' ').next());
    let Some(filter) = wanted.and_then(predicate) else {
        return writing
            .write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            .await;
    };
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n";
    writing.write_all(head).await?;
    if let Err(error) = supervisor.create(filter, lines_to(writing), router::Config::default()) {
        println!("no output: {error}");
    }
    Ok(())
}

/// What `?station=JFK&below=20` asks for; nothing if it cannot be understood.
fn predicate(query: &str) -> Option<Filter<Reading, String>> {
    let mut filter = Filter::all();
    let mut below = None;
    for pair in query
        .strip_prefix('?')
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        match pair.split_once('=')? {
            // An equality on the key is looked up, not asked for every item.
            ("station", station) => filter = Filter::key(station.to_owned()),
            ("below", limit) => below = Some(limit.parse::<f64>().ok()?),
            _ => return None,
        }
    }
    Some(match below {
        Some(limit) => {
            filter.and_item(move |reading: &Reading| reading.temp.is_some_and(|temp| temp < limit))
        }
        None => filter,
    })
}

/// A sink that writes each reading as a line.
fn lines_to(writing: OwnedWriteHalf) -> impl Sink<Reading, Error = std::io::Error> + Send {
    futures::sink::unfold(writing, |mut writing, reading: Reading| async move {
        let temp = reading.temp.map_or("?".into(), |temp| temp.to_string());
        let line = format!("{} {} {temp}\n", reading.station, reading.at_secs);
        writing.write_all(line.as_bytes()).await?;
        Ok(writing)
    })
}

/// A client: sends a request, and gives the lines of the answer.
async fn connect(address: SocketAddr, path: &str) -> Result<Lines<BufReader<TcpStream>>> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: example\r\n\r\n").as_bytes())
        .await?;
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next_line().await?.ok_or("no answer")?;
    if !status.contains("200") {
        return Err(status.into());
    }
    while lines
        .next_line()
        .await?
        .is_some_and(|header| !header.is_empty())
    {}
    Ok(lines)
}
