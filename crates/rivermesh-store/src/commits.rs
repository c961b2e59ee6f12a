//! The positions that named consumers have committed, and what of them is not on disk yet.

use std::collections::BTreeMap;

use rivermesh_proto::Seq;

use crate::{error::WriteError, record::Kind};

/// Bytes of the longest name.
const NAME: usize = 128;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    table: BTreeMap<String, Seq>,
    /// What has changed since the last record of it; `None` for a name that was forgotten.
    pending: BTreeMap<String, Option<Seq>>,
}

impl Commits {
    pub(crate) fn table(&self) -> &BTreeMap<String, Seq> {
        &self.table
    }

    /// Notes a position. `names` is how many there may be.
    pub(crate) fn set(&mut self, name: &str, seq: Seq, names: usize) -> Result<(), WriteError> {
        if !(1..=NAME).contains(&name.len()) {
            return Err(WriteError::Name { got: name.len() });
        }
        let count = self.table.len();
        match self.table.get_mut(name) {
            Some(held) if *held == seq => return Ok(()),
            Some(held) => *held = seq,
            None if count >= names => return Err(WriteError::Names { limit: names }),
            None => {
                self.table.insert(name.to_owned(), seq);
            }
        }
        self.pending.insert(name.to_owned(), Some(seq));
        Ok(())
    }

    /// Forgets a name.
    pub(crate) fn forget(&mut self, name: &str) {
        if self.table.remove(name).is_some() {
            self.pending.insert(name.to_owned(), None);
        }
    }

    /// The body of a record of what has changed; `None` where nothing has.
    pub(crate) fn changes(&self) -> Option<Vec<u8>> {
        if self.pending.is_empty() {
            return None;
        }
        // Text and numbers always encode.
        postcard::to_stdvec(&self.pending).ok()
    }

    /// The body of a record of everything.
    pub(crate) fn everything(&self) -> Vec<u8> {
        postcard::to_stdvec(&self.table).unwrap_or_default()
    }

    /// Everything that has changed is in a record now.
    pub(crate) fn written(&mut self) {
        self.pending.clear();
    }

    /// Takes up a record that was read. False where its body, intact as it is, cannot be understood.
    pub(crate) fn take_up(&mut self, kind: Kind, body: &[u8]) -> bool {
        match kind {
            Kind::Names => match postcard::from_bytes(body) {
                Ok(table) => self.table = table,
                Err(_) => return false,
            },
            Kind::Commits => match postcard::from_bytes::<BTreeMap<String, Option<Seq>>>(body) {
                Ok(changes) => {
                    for (name, change) in changes {
                        match change {
                            Some(seq) => self.table.insert(name, seq),
                            None => self.table.remove(&name),
                        };
                    }
                }
                Err(_) => return false,
            },
            Kind::Data | Kind::Lease => {}
        }
        true
    }
}
