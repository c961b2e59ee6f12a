//! From the input to the stream: pacing, progress, and what to do about bad records.

use std::{
    fmt,
    io::{self, IsTerminal},
    time::Duration,
};

use color_eyre::eyre::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    args::OnError,
    input::{BadRecord, Input, Item},
    text::{grouped, plural},
};

/// Records that are read ahead of the stream.
const READ_AHEAD: usize = 1024;

/// Bad records that are printed; the rest is only counted.
const SHOWN: u64 = 20;

/// Where items go.
pub(super) trait Outlet {
    /// Sends one item; waits while it cannot be taken.
    ///
    /// # Errors
    /// [`Refusal::Item`] when this item can never be sent, [`Refusal::Closed`] when none can.
    async fn send(&mut self, item: Item) -> Result<(), Refusal>;
}

/// Why an item was not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is too large, for example; others may go.
    Item(String),
    /// The stream is closed.
    Closed(String),
}

/// What was done.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) bad: u64,
    /// CSV fields that did not fit their column's type.
    pub(super) misfits: u64,
    pub(super) took: Duration,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64().max(1e-3);
        write!(
            f,
            "sent {} in {seconds:.1} s ({}/s)",
            plural(self.sent, "item"),
            grouped((self.sent as f64 / seconds) as u64)
        )?;
        if self.bad > 0 {
            write!(f, ", {} left out", plural(self.bad, "bad record"))?;
        }
        if self.misfits > 0 {
            let fields = plural(self.misfits, "field");
            write!(
                f,
                ", {fields} sent as text because the column's type did not fit"
            )?;
        }
        Ok(())
    }
}

/// What the reading thread brings.
pub(super) enum Read {
    Item(Item),
    Bad(BadRecord),
    /// The end, with the number of misfits.
    End(u64),
    Broken(io::Error),
}

/// Reads the input on a thread of its own.
pub(super) fn read(mut input: Input) -> mpsc::Receiver<Read> {
    let (send, receive) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || {
        loop {
            let (read, last) = match input.next() {
                Ok(Some(Ok(item))) => (Read::Item(item), false),
                Ok(Some(Err(bad))) => (Read::Bad(bad), false),
                Ok(None) => (Read::End(input.misfits()), true),
                Err(error) => (Read::Broken(error), true),
            };
            if send.blocking_send(read).is_err() || last {
                return;
            }
        }
    });
    receive
}

/// Sends everything that is read.
///
/// # Errors
/// When the input breaks, the stream closes, or a record is bad and `on_error` says stop.
pub(super) async fn pump(
    mut input: mpsc::Receiver<Read>,
    outlet: &mut impl Outlet,
    rate: Option<f64>,
    on_error: OnError,
) -> Result<Tally> {
    let start = Instant::now();
    let progress = Progress::new();
    let mut tally = Tally::default();
    while let Some(read) = input.recv().await {
        let bad = match read {
            Read::Item(item) => {
                if let Some(rate) = rate {
                    sleep_until(start + Duration::from_secs_f64(tally.sent as f64 / rate)).await;
                }
                match outlet.send(item).await {
                    Ok(()) => {
                        tally.sent += 1;
                        progress.sent();
                        continue;
                    }
                    Err(Refusal::Item(reason)) => {
                        format!("item {} was not sent: {reason}", tally.sent + tally.bad + 1)
                    }
                    Err(Refusal::Closed(reason)) => bail!("the stream closed: {reason}"),
                }
            }
            Read::Bad(bad) => bad.to_string(),
            Read::End(misfits) => {
                tally.misfits = misfits;
                break;
            }
            Read::Broken(error) => return Err(error).wrap_err("cannot read the input"),
        };
        tally.bad += 1;
        if on_error == OnError::Stop {
            bail!("{bad}\n  {} sent before it", plural(tally.sent, "item"));
        }
        match tally.bad {
            0..=SHOWN => progress.say(&bad),
            bad if bad == SHOWN + 1 => progress.say("further bad records are only counted"),
            _ => {}
        }
    }
    progress.bar.finish_and_clear();
    tally.took = start.elapsed();
    Ok(tally)
}

/// A counter on a terminal, nothing elsewhere.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{human_pos} items  {per_sec}  {elapsed}") {
            bar.set_style(style);
        }
        Self { bar }
    }

    fn sent(&self) {
        self.bar.inc(1);
    }

    fn say(&self, text: &str) {
        if io::stderr().is_terminal() {
            self.bar.println(text);
        } else {
            eprintln!("{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::args::InputFormat;

    #[derive(Default)]
    struct Shelf {
        items: Vec<Item>,
        refuse: Option<&'static str>,
        close_after: Option<usize>,
    }

    impl Outlet for Shelf {
        async fn send(&mut self, item: Item) -> Result<(), Refusal> {
            if self.close_after == Some(self.items.len()) {
                return Err(Refusal::Closed("gone".into()));
            }
            if matches!((&item, self.refuse), (Item::Text(text), Some(refuse)) if text == refuse) {
                return Err(Refusal::Item("too large".into()));
            }
            self.items.push(item);
            Ok(())
        }
    }

    fn input(text: &str, format: InputFormat) -> mpsc::Receiver<Read> {
        let source = Box::new(Cursor::new(text.to_owned()));
        read(Input::from_source(source, Some(format), 10).unwrap())
    }

    #[tokio::test]
    async fn bad_records_are_left_out_and_counted() {
        let mut shelf = Shelf::default();
        let input = input("1\nx\n2\n", InputFormat::Json);
        let tally = pump(input, &mut shelf, None, OnError::Skip).await.unwrap();
        assert_eq!((tally.sent, tally.bad), (2, 1));
        assert_eq!(shelf.items, [Item::Json(1.into()), Item::Json(2.into())]);
        assert!(
            tally.to_string().contains("1 bad record left out"),
            "{tally}"
        );
    }

    #[tokio::test]
    async fn bad_records_stop_it_when_asked() {
        let mut shelf = Shelf::default();
        let input = input("1\nx\n2\n", InputFormat::Json);
        let error = pump(input, &mut shelf, None, OnError::Stop)
            .await
            .unwrap_err();
        assert!(error.to_string().starts_with("line 2: not JSON"), "{error}");
        assert_eq!(shelf.items.len(), 1);
    }

    #[tokio::test]
    async fn an_item_that_cannot_go_does_not_stop_the_others() {
        let mut shelf = Shelf {
            refuse: Some("b"),
            ..Shelf::default()
        };
        let source = input("a\nb\nc\n", InputFormat::Lines);
        let tally = pump(source, &mut shelf, None, OnError::Skip).await.unwrap();
        assert_eq!((tally.sent, tally.bad), (2, 1));
        let mut shelf = Shelf {
            close_after: Some(1),
            ..Shelf::default()
        };
        let source = input("a\nb\nc\n", InputFormat::Lines);
        let error = pump(source, &mut shelf, None, OnError::Skip)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "the stream closed: gone");
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept() {
        let mut shelf = Shelf::default();
        let source = input("a\nb\nc\nd\ne\n", InputFormat::Lines);
        let start = Instant::now();
        pump(source, &mut shelf, Some(10.0), OnError::Skip)
            .await
            .unwrap();
        assert_eq!(start.elapsed().as_millis(), 400);
    }

    #[tokio::test]
    async fn misfits_are_told() {
        let mut shelf = Shelf::default();
        let csv = format!("a,b\n{}x,y\n", "1,y\n".repeat(10));
        let input = input(&csv, InputFormat::Csv);
        let tally = pump(input, &mut shelf, None, OnError::Skip).await.unwrap();
        assert_eq!((tally.sent, tally.misfits), (11, 1));
        assert!(
            tally.to_string().contains("1 field sent as text"),
            "{tally}"
        );
    }
}
