//! Which format an input has.

use std::{
    collections::HashSet,
    io::{self, BufRead, Read},
    path::Path,
};

use super::{MAX_LINE_BYTES, Source};
use crate::args::InputFormat;

/// By the name of the file: `x.csv`, `x.jsonl`, `x.ndjson`, `x.json`, each also with `.gz`.
pub(super) fn by_extension(path: &Path) -> Option<InputFormat> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "csv" => Some(InputFormat::Csv),
        "jsonl" | "ndjson" | "json" => Some(InputFormat::Json),
        _ => None,
    }
}

/// By the first line, and by the second where the first looks like the header of a CSV file.
/// Returns what was read to find out.
pub(super) fn by_content(source: &mut Source) -> io::Result<(InputFormat, Vec<u8>)> {
    let mut read = Vec::new();
    let first = line(source, &mut read)?;
    if first.trim_start().starts_with('{') {
        return Ok((InputFormat::Json, read));
    }
    let Some(columns) = header(&first) else {
        return Ok((InputFormat::Lines, read));
    };
    let second = line(source, &mut read)?;
    let format = if fields(&second).is_some_and(|fields| fields.len() == columns) {
        InputFormat::Csv
    } else {
        InputFormat::Lines
    };
    Ok((format, read))
}

/// Appends one line to `read` and returns it.
fn line(source: &mut Source, read: &mut Vec<u8>) -> io::Result<String> {
    let start = read.len();
    source.take(MAX_LINE_BYTES as u64).read_until(b'\n', read)?;
    Ok(String::from_utf8_lossy(&read[start..]).into_owned())
}

/// The number of columns when a line can be a header: two or more different identifiers.
fn header(line: &str) -> Option<usize> {
    let names = fields(line)?;
    let different: HashSet<_> = names.iter().collect();
    let fits = names.len() >= 2 && different.len() == names.len();
    (fits && names.iter().all(|name| is_identifier(name))).then_some(names.len())
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn fields(line: &str) -> Option<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(line.as_bytes());
    let record = reader.records().next()?.ok()?;
    Some(record.iter().map(str::to_owned).collect())
}
