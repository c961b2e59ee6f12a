//! A whole run before the judge.

use std::collections::{HashMap, HashSet};

use rivermesh_proto::StreamName;

use super::{
    consumer::{ConsumerEnd, ConsumerJournal},
    judge::{Judge, Lives},
    payload::Key,
    producer::{ProducerEnd, ProducerJournal},
    rules::{Revocation, Rules},
    verdict::{Breach, Failure, Report, Violation, VoidReason},
};

/// Everything that is known of a run.
#[derive(Debug)]
pub struct Run {
    key: Key,
    producers: Vec<ProducerJournal>,
    consumers: Vec<ConsumerJournal>,
    revocations: Vec<Revocation>,
    faults: Vec<String>,
}

impl Run {
    /// A run whose payloads have this key.
    #[must_use]
    pub const fn new(key: Key) -> Self {
        Self {
            key,
            producers: Vec::new(),
            consumers: Vec::new(),
            revocations: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Adds a producer's journal: one for each life, on each stream.
    pub fn producer(&mut self, journal: ProducerJournal) -> &mut Self {
        self.producers.push(journal);
        self
    }

    /// Adds a consumer's journal: one for each life, under a name of its own.
    pub fn consumer(&mut self, journal: ConsumerJournal) -> &mut Self {
        self.consumers.push(journal);
        self
    }

    /// Adds a right that was taken; counts as a fault.
    pub fn revocation(&mut self, revocation: Revocation) -> &mut Self {
        self.revocations.push(revocation);
        self
    }

    /// Adds a fault that happened and shows in no journal (a paused process, a cut link). Say so
    /// once it has taken effect, not when it was planned. Kills and revocations count by
    /// themselves.
    pub fn fault(&mut self, what: impl Into<String>) -> &mut Self {
        self.faults.push(what.into());
        self
    }

    /// The judgement.
    ///
    /// # Errors
    /// When promises were broken, or when the run proves nothing.
    pub fn check(&self, rules: &Rules) -> Result<Report, Failure> {
        let mut violations = Vec::new();
        let mut reasons = Vec::new();
        let mut report = Report::default();

        let lives = self.lives(&mut violations);
        let none = Lives::new();
        let mut names = HashSet::new();
        for consumer in &self.consumers {
            if !names.insert(consumer.name()) {
                reasons.push(VoidReason::SameName {
                    consumer: consumer.name().to_owned(),
                });
            }
            let lives = lives.get(consumer.stream()).unwrap_or(&none);
            let judge = Judge::new(&self.key, rules, lives, consumer, &self.revocations).run();
            add(&mut report, &judge.report);
            violations.extend(judge.violations);
            if judge.untimed {
                reasons.push(VoidReason::NoTimes {
                    consumer: consumer.name().to_owned(),
                });
            }
        }
        for revocation in &self.revocations {
            if !names.contains(revocation.consumer.as_str()) {
                reasons.push(VoidReason::NoSuchConsumer {
                    consumer: revocation.consumer.clone(),
                });
            }
        }

        report.accepted = self.producers.iter().map(ProducerJournal::count).sum();
        report.faults = self.count_faults();
        if report.received < rules.min_items {
            reasons.push(VoidReason::TooFewItems {
                got: report.received,
                needed: rules.min_items,
            });
        }
        if report.faults < rules.min_faults {
            reasons.push(VoidReason::TooFewFaults {
                got: report.faults,
                needed: rules.min_faults,
            });
        }
        if !violations.is_empty() {
            Err(Failure::Broken(violations))
        } else if !reasons.is_empty() {
            Err(Failure::Void(reasons))
        } else {
            Ok(report)
        }
    }

    fn lives(&self, violations: &mut Vec<Violation>) -> HashMap<&StreamName, Lives<'_>> {
        let mut lives: HashMap<&StreamName, Lives<'_>> = HashMap::new();
        for journal in &self.producers {
            let mut breach = |breach| {
                violations.push(Violation {
                    stream: journal.stream().clone(),
                    consumer: None,
                    producer: Some(journal.producer()),
                    epoch: Some(journal.epoch()),
                    event: None,
                    breach,
                });
            };
            if journal.end().is_none() {
                breach(Breach::Unfinished);
            }
            let life = (journal.producer(), journal.epoch());
            let of_stream = lives.entry(journal.stream()).or_default();
            if of_stream.insert(life, journal).is_some() {
                breach(Breach::EpochReused);
            }
        }
        lives
    }

    fn count_faults(&self) -> u64 {
        let killed_producers = self
            .producers
            .iter()
            .filter(|journal| journal.end() == Some(ProducerEnd::Killed))
            .count();
        let killed_consumers = self
            .consumers
            .iter()
            .filter(|journal| journal.end() == Some(ConsumerEnd::Killed))
            .count();
        (killed_producers + killed_consumers + self.revocations.len() + self.faults.len()) as u64
    }

    /// For seeded bugs.
    #[cfg(test)]
    pub(super) const fn consumers_mut(&mut self) -> &mut Vec<ConsumerJournal> {
        &mut self.consumers
    }

    /// For seeded bugs.
    #[cfg(test)]
    pub(super) const fn producers_mut(&mut self) -> &mut Vec<ProducerJournal> {
        &mut self.producers
    }

    /// For seeded bugs.
    #[cfg(test)]
    pub(super) const fn key(&self) -> &Key {
        &self.key
    }
}

fn add(sum: &mut Report, part: &Report) {
    sum.received += part.received;
    sum.missed += part.missed;
    sum.gaps += part.gaps;
    sum.joins += part.joins;
    sum.rejoins += part.rejoins;
    sum.losses += part.losses;
    sum.resets += part.resets;
}
