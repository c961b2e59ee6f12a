//! Lines with a bound on their length.

use std::io::{self, BufRead, Read};

use super::{BadRecord, MAX_LINE_BYTES, Source};

/// A line and where it stands.
#[derive(Debug)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// Without its end.
    pub(super) text: String,
}

/// The lines of a source.
pub(super) struct Lines {
    source: Source,
    number: u64,
    buffer: Vec<u8>,
}

impl Lines {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            number: 0,
            buffer: Vec::new(),
        }
    }

    /// The next line, or nothing at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Result<Line, BadRecord>>> {
        self.buffer.clear();
        let limit = MAX_LINE_BYTES as u64 + 1;
        let read = (&mut self.source)
            .take(limit)
            .read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let whole = self.buffer.ends_with(b"\n");
        if !whole && read as u64 == limit {
            self.skip_line()?;
            return Ok(Some(Err(self.bad(format!(
                "longer than {MAX_LINE_BYTES} bytes, the limit of an item"
            )))));
        }
        if whole {
            self.buffer.pop();
            if self.buffer.ends_with(b"\r") {
                self.buffer.pop();
            }
        }
        Ok(Some(match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(Line {
                number: self.number,
                text: text.to_owned(),
            }),
            Err(error) => Err(self.bad(format!("not UTF-8 after byte {}", error.valid_up_to()))),
        }))
    }

    fn bad(&self, reason: String) -> BadRecord {
        BadRecord {
            line: self.number,
            reason,
        }
    }

    /// Passes over the rest of a line that is too long, without keeping it.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.source.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let end = buffer.iter().position(|&b| b == b'\n');
            let used = end.map_or(buffer.len(), |at| at + 1);
            self.source.consume(used);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}
