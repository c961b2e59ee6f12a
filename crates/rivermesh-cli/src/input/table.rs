//! Rows of CSV.

use std::{collections::VecDeque, io};

use csv::{ErrorKind, StringRecord};

use super::{BadRecord, Item, Record, Source, columns::Columns};

/// A CSV input whose first line names the columns.
pub(super) struct Table {
    rows: csv::Reader<Source>,
    columns: Columns,
    sample: VecDeque<Result<StringRecord, BadRecord>>,
}

impl Table {
    /// Reads the header and `sample` rows.
    pub(super) fn new(source: Source, sample: usize) -> io::Result<Self> {
        let mut rows = csv::ReaderBuilder::new().from_reader(source);
        let header = match rows.headers() {
            Ok(header) => header.iter().map(str::to_owned).collect(),
            Err(error) => return Err(into_io(error)),
        };
        let mut table = Self {
            rows,
            columns: Columns::new(header),
            sample: VecDeque::new(),
        };
        while table.sample.len() < sample {
            let Some(row) = table.read()? else { break };
            if let Ok(row) = &row {
                table.columns.observe(row.iter());
            }
            table.sample.push_back(row);
        }
        Ok(table)
    }

    pub(super) fn misfits(&self) -> u64 {
        self.columns.misfits()
    }

    #[cfg(test)]
    pub(super) fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        let row = match self.sample.pop_front() {
            Some(row) => Some(row),
            None => self.read()?,
        };
        Ok(row.map(|row| Ok(Item::Json(self.columns.object(row?.iter())))))
    }

    fn read(&mut self) -> io::Result<Option<Result<StringRecord, BadRecord>>> {
        let mut row = StringRecord::new();
        match self.rows.read_record(&mut row) {
            Ok(true) => Ok(Some(Ok(row))),
            Ok(false) => Ok(None),
            Err(error) if error.is_io_error() => Err(into_io(error)),
            Err(error) => Ok(Some(Err(bad(&error)))),
        }
    }
}

fn bad(error: &csv::Error) -> BadRecord {
    let line = error.position().map_or(0, csv::Position::line);
    let reason = match error.kind() {
        ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("{len} fields where the header has {expected_len}"),
        ErrorKind::Utf8 { err, .. } => format!("field {} is not UTF-8", err.field() + 1),
        _ => error.to_string(),
    };
    BadRecord { line, reason }
}

fn into_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        ErrorKind::Io(error) => error,
        ErrorKind::Utf8 { err, .. } => io::Error::new(
            io::ErrorKind::InvalidData,
            format!("name {} in the header is not UTF-8", err.field() + 1),
        ),
        other => io::Error::other(format!("{other:?}")),
    }
}
