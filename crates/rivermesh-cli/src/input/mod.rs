//! What `pub` reads: lines, JSON lines or CSV, from a file or stdin, gzip'ed or not.
//!
//! Reading blocks, so it belongs on a thread of its own. Nothing is lost silently: a record that
//! cannot be read comes out as [`BadRecord`] with its line.

mod columns;
mod detect;
mod lines;
mod table;

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;
use serde_json::Value;

use crate::args::InputFormat;
use lines::Lines;
use table::Table;

/// Longest line that is read, in bytes: the size limit of an item.
pub(crate) const MAX_LINE_BYTES: usize = 1 << 20;

/// One item to send.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    /// A line of text.
    Text(String),
    /// A JSON line, or a row of CSV as an object.
    Json(Value),
}

/// A record that cannot be read; the records after it can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadRecord {
    /// Line of the input, from 1.
    pub(crate) line: u64,
    /// What is wrong with it.
    pub(crate) reason: String,
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// What a step of reading brings.
pub(crate) type Record = Result<Item, BadRecord>;

/// The open input.
pub(crate) struct Input {
    format: InputFormat,
    reader: Reader,
}

enum Reader {
    Text(Lines),
    Json(Lines),
    Table(Table),
}

/// Any blocking source of bytes.
pub(crate) type Source = Box<dyn BufRead + Send>;

impl Input {
    /// Opens a file, or stdin where there is none. `sample` is the number of rows of CSV by which
    /// the types of its columns are settled.
    ///
    /// # Errors
    /// When the file cannot be opened or its beginning cannot be read.
    pub(crate) fn open(
        path: Option<&Path>,
        format: Option<InputFormat>,
        sample: usize,
    ) -> io::Result<Self> {
        let by_name = path.and_then(detect::by_extension);
        let source: Source = match path {
            Some(path) => Box::new(BufReader::with_capacity(1 << 16, File::open(path)?)),
            None => Box::new(BufReader::with_capacity(1 << 16, io::stdin())),
        };
        Self::from_source(source, format.or(by_name), sample)
    }

    /// Reads from any source; the format is detected where none is given.
    ///
    /// # Errors
    /// When the beginning cannot be read.
    pub(crate) fn from_source(
        source: Source,
        format: Option<InputFormat>,
        sample: usize,
    ) -> io::Result<Self> {
        let mut source = without_mark(decompressed(source)?)?;
        let format = match format {
            Some(format) => format,
            None => {
                let (format, read) = detect::by_content(&mut source)?;
                source = Box::new(Cursor::new(read).chain(source));
                format
            }
        };
        let reader = match format {
            InputFormat::Lines => Reader::Text(Lines::new(source)),
            InputFormat::Json => Reader::Json(Lines::new(source)),
            InputFormat::Csv => Reader::Table(Table::new(source, sample)?),
        };
        Ok(Self { format, reader })
    }

    /// The format that was given or detected.
    pub(crate) fn format(&self) -> InputFormat {
        self.format
    }

    /// Fields of CSV that did not fit their column's type and came out as text.
    pub(crate) fn misfits(&self) -> u64 {
        match &self.reader {
            Reader::Table(table) => table.misfits(),
            Reader::Text(_) | Reader::Json(_) => 0,
        }
    }

    /// The next record, or nothing at the end.
    ///
    /// # Errors
    /// When the source fails; then nothing more can be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<Record>> {
        match &mut self.reader {
            Reader::Text(lines) => Ok(lines.next()?.map(|line| line.map(|l| Item::Text(l.text)))),
            Reader::Json(lines) => next_json(lines),
            Reader::Table(table) => table.next(),
        }
    }
}

fn next_json(lines: &mut Lines) -> io::Result<Option<Record>> {
    loop {
        let line = match lines.next()? {
            None => return Ok(None),
            Some(Err(bad)) => return Ok(Some(Err(bad))),
            Some(Ok(line)) => line,
        };
        if line.text.trim().is_empty() {
            continue;
        }
        let item = serde_json::from_str(&line.text).map(Item::Json);
        return Ok(Some(item.map_err(|error| BadRecord {
            line: line.number,
            reason: json_reason(&line.text, &error),
        })));
    }
}

/// What serde_json says, without its own line number (always 1 here), and with a hint for JSON that spans lines.
fn json_reason(text: &str, error: &serde_json::Error) -> String {
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or(&said);
    if error.is_eof() && matches!(text.trim(), "[" | "{") {
        return format!("{said}: each line must be a whole JSON value (`jq -c` makes such lines)");
    }
    format!("not JSON: {said} at column {}", error.column())
}

/// Gzip is known by its first two bytes (RFC 1952, section 2.3.1), whatever the name says.
fn decompressed(mut source: Source) -> io::Result<Source> {
    let zipped = source.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if zipped {
        Box::new(BufReader::with_capacity(
            1 << 16,
            MultiGzDecoder::new(source),
        ))
    } else {
        source
    })
}

/// Drops the byte order mark that some programs put before UTF-8.
fn without_mark(mut source: Source) -> io::Result<Source> {
    if source.fill_buf()?.starts_with("\u{feff}".as_bytes()) {
        source.consume(3);
    }
    Ok(source)
}

#[cfg(test)]
mod tests;
