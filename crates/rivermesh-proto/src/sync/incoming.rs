//! A message that was read, on its way into the catalog.
//!
//! To verify a page of records takes some 50 ms. Whoever shares the catalog with others does that
//! before it takes hold of it:
//!
//! ```text
//! read      decodes; the catalog is not needed
//! screen    finds the records that are worth it: a few look-ups for each
//! verify    the dear part; the catalog is not needed
//! admit     hands some of the records to the catalog, as often as one likes
//! answer    hands over those that are left, and gives the message to send
//! ```

use std::{collections::VecDeque, time::Duration};

use super::{Carried, Message, SyncError};
use crate::{
    catalog::{Admitted, Catalog, Clock, Refused, Source, Verified},
    entry::SignedRecord,
};

/// A message of the peer, whose records are to be handed to the catalog.
#[derive(Debug)]
pub struct Incoming {
    /// Without its records.
    pub(super) message: Message,
    records: VecDeque<Told>,
    /// How many there were.
    pub(super) carried: usize,
}

/// A record of a page.
#[derive(Debug)]
struct Told {
    age: Duration,
    record: SignedRecord,
    /// Whether it seems worth verifying.
    worth: bool,
    verified: Option<Verified>,
}

impl Incoming {
    pub(super) fn new(mut message: Message) -> Self {
        let records = match &mut message {
            Message::Delta { records, .. } | Message::Push { records, .. } => {
                std::mem::take(records)
            }
            _ => Vec::new(),
        };
        let told = |Carried { age_s, record }| Told {
            age: Duration::from_secs(u64::from(age_s)),
            record,
            worth: false,
            verified: None,
        };
        Self {
            message,
            carried: records.len(),
            records: records.into_iter().map(told).collect(),
        }
    }

    /// Notes which records are worth verifying, as the catalog is now; gives how many are.
    pub fn screen(&mut self, catalog: &Catalog, now: Clock) -> usize {
        for told in &mut self.records {
            told.worth = catalog.may_take(&told.record, now);
        }
        self.records.iter().filter(|told| told.worth).count()
    }

    /// Verifies the records that are worth it, at some 50 µs each. What is not verified here, the
    /// catalog verifies if it has to.
    ///
    /// # Errors
    /// When one is not valid, which a peer must not pass on.
    pub fn verify(&mut self) -> Result<(), SyncError> {
        for told in self.records.iter_mut().filter(|told| told.worth) {
            told.verified = Some(Verified::of(told.record.clone())?);
        }
        Ok(())
    }

    /// How many records the catalog has not been handed.
    #[must_use]
    pub fn left(&self) -> usize {
        self.records.len()
    }

    /// Hands the next record to the catalog; gives it, and what came of it.
    pub(super) fn admit_next(
        &mut self,
        catalog: &mut Catalog,
        now: Clock,
    ) -> Option<(SignedRecord, Result<Admitted, Refused>)> {
        let told = self.records.pop_front()?;
        let source = Source::Sync { age: told.age };
        let admitted = match told.verified {
            Some(verified) => catalog.admit_verified(verified, source, now),
            None => catalog.admit(told.record.clone(), source, now),
        };
        Some((told.record, admitted))
    }
}
