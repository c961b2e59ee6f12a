//! What `sub` prints: items on stdout, notices on stderr.

use std::{
    fmt,
    io::{self, Write},
    time::SystemTime,
};

use rivermesh::Delivery;
use serde::Serialize;
use serde_json::Value;

use crate::{latency::since_epoch_us, text::plural};

/// An item with where it is from, as `--meta` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Meta {
    pub(super) producer: String,
    /// Of a subscription to several streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream: Option<String>,
    pub(super) epoch: String,
    pub(super) seq: u64,
    #[serde(serialize_with = "rfc3339")]
    pub(super) sent_at: SystemTime,
    pub(super) item: Value,
}

impl Meta {
    /// An item as JSON, with where its delivery says that it is from.
    pub(super) fn of<T>(delivery: &Delivery<T>, item: Value) -> Self {
        Self {
            producer: delivery.producer.to_string(),
            stream: delivery.stream.as_ref().map(ToString::to_string),
            epoch: delivery.epoch.to_string(),
            seq: delivery.seq,
            sent_at: delivery.sent_at(),
            item,
        }
    }
}

/// Something that happened to the subscription other than an item. Producers are named for
/// people by `name` and for programs by `producer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Notice {
    Joined {
        producer: String,
        name: String,
        epoch: String,
        seq: u64,
    },
    Left {
        producer: String,
        name: String,
        epoch: String,
    },
    Missed {
        producer: String,
        name: String,
        epoch: String,
        from: u64,
        to: u64,
    },
    Reset {
        producer: String,
        name: String,
        old: String,
        new: String,
    },
    Refused {
        producer: String,
        name: String,
        reason: String,
        /// Where the filter is at fault: two lines, the second of carets.
        #[serde(skip_serializing_if = "Option::is_none")]
        place: Option<String>,
    },
    Undecodable {
        producer: String,
        name: String,
        epoch: String,
        seq: u64,
        reason: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined { name, seq: 0, .. } => write!(f, "receiving from {name}"),
            Self::Joined { name, seq, .. } => {
                write!(f, "receiving from {name}, from item {seq} on")
            }
            Self::Left { name, .. } => write!(f, "{name} left"),
            Self::Missed { name, from, to, .. } => {
                let items = plural(to.saturating_sub(*from), "item");
                write!(
                    f,
                    "missed {items} of {name} (numbers {from} to {})",
                    to.saturating_sub(1)
                )
            }
            Self::Reset { name, .. } => {
                write!(f, "{name} started anew, its items count from 0 again")
            }
            Self::Refused {
                name,
                reason,
                place,
                ..
            } => {
                write!(f, "{name} does not serve this stream to us: {reason}")?;
                place.iter().try_for_each(|place| write!(f, "\n{place}"))
            }
            Self::Undecodable {
                name, seq, reason, ..
            } => {
                write!(f, "item {seq} of {name} cannot be shown: {reason}")
            }
        }
    }
}

/// Lines of JSON to a pipe that may break.
pub(super) struct Printer<W: Write> {
    out: io::BufWriter<W>,
}

/// Who reads the output does not any more; that is a normal end.
#[derive(Debug)]
pub(super) struct ReaderGone;

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out: io::BufWriter::with_capacity(1 << 16, out),
        }
    }

    /// Prints one line; it may stay in the buffer until [`Self::flush`].
    pub(super) fn line(&mut self, value: &impl Serialize) -> io::Result<Result<(), ReaderGone>> {
        let written = serde_json::to_writer(&mut self.out, value).map_err(io::Error::from);
        quiet(written.and_then(|()| self.out.write_all(b"\n")))
    }

    /// Hands everything on.
    pub(super) fn flush(&mut self) -> io::Result<Result<(), ReaderGone>> {
        quiet(self.out.flush())
    }
}

fn quiet(result: io::Result<()>) -> io::Result<Result<(), ReaderGone>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Err(ReaderGone)),
        other => other.map(Ok),
    }
}

/// `2013-01-01T06:00:00.123456Z`.
fn rfc3339<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let micros = since_epoch_us(*time);
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    serializer.collect_str(&format_args!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{micros:06}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
    ))
}

/// The date so many days after 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", civil_from_days).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::json;

    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn meta_is_one_object() {
        let at = |micros| {
            let meta = Meta {
                producer: "p".into(),
                stream: None,
                epoch: "e".into(),
                seq: 7,
                sent_at: UNIX_EPOCH + Duration::from_micros(micros),
                item: json!({"a": 1}),
            };
            serde_json::to_value(meta).unwrap()
        };
        assert_eq!(
            at(1_357_020_000_123_456),
            json!({
                "producer": "p", "epoch": "e", "seq": 7,
                "sent_at": "2013-01-01T06:00:00.123456Z", "item": {"a": 1},
            })
        );
        assert_eq!(at(0)["sent_at"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(
            at(951_782_400_000_000)["sent_at"],
            "2000-02-29T00:00:00.000000Z"
        );
        assert_eq!(
            at(4_107_542_399_000_000)["sent_at"],
            "2100-02-28T23:59:59.000000Z"
        );
    }

    #[test]
    fn notices_are_plain_words_or_json() {
        let missed = Notice::Missed {
            producer: "p".into(),
            name: "JFK".into(),
            epoch: "e".into(),
            from: 3,
            to: 5,
        };
        assert_eq!(missed.to_string(), "missed 2 items of JFK (numbers 3 to 4)");
        assert_eq!(
            serde_json::to_value(missed).unwrap(),
            json!({"event": "missed", "producer": "p", "name": "JFK", "epoch": "e", "from": 3, "to": 5})
        );
    }

    #[test]
    fn a_broken_pipe_is_not_an_error() {
        let mut printer = Printer::new(Closed);
        assert!(printer.line(&json!(1)).unwrap().is_ok(), "buffered");
        assert!(printer.flush().unwrap().is_err());
        let mut printer = Printer::new(Vec::new());
        printer.line(&json!({"a": "ü"})).unwrap().unwrap();
        printer.flush().unwrap().unwrap();
        assert_eq!(printer.out.get_ref(), "{\"a\":\"ü\"}\n".as_bytes());
    }
}
