//! What the parent knows of its children, put together from their reports. No I/O here.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    account::Life,
    rate::Rate,
    wire::{Position, Report, Source},
};
use crate::{
    latency::{Counts, Quantiles},
    text::{grouped, micros},
};

/// The state of the demo.
#[derive(Debug)]
pub(super) struct Board {
    members: BTreeMap<String, Member>,
    stations: BTreeMap<String, Station>,
    consumers: BTreeMap<String, Listener>,
    found: Vec<(String, String, u64)>,
    /// Who has been told to have found all others.
    told: BTreeSet<String>,
    discovery_us: Option<u64>,
    kill: Option<Kill>,
    first_item_us: Option<u64>,
    last_item_us: u64,
}

#[derive(Debug, Default)]
struct Member {
    up_us: Option<u64>,
    rtt: Vec<(String, u64)>,
}

#[derive(Debug)]
struct Station {
    rows: u64,
    /// Row from which the life that is running or about to run sends.
    first_row: u64,
    lives: Vec<LifeState>,
    rate: Rate,
}

#[derive(Debug)]
struct LifeState {
    life: Life,
    accepted: u64,
    done: bool,
}

#[derive(Debug, Default)]
struct Listener {
    positions: Vec<Position>,
    latency: Option<Quantiles>,
    rate: Rate,
    books: Option<(Vec<Source>, Counts)>,
}

/// What is known of the station that was killed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kill {
    pub(super) station: String,
    pub(super) killed_us: u64,
    /// Items of the killed life that the stream had taken, as far as the station could say.
    pub(super) accepted: u64,
    /// Row from which the restarted station went on.
    pub(super) resumed_row: u64,
    /// When the restarted station's node was up.
    pub(super) up_us: Option<u64>,
    /// When each consumer had its first item.
    pub(super) first_us: BTreeMap<String, u64>,
}

impl Board {
    /// A board for stations with their numbers of rows, and consumers.
    pub(super) fn new(stations: &[(&str, u64)], consumers: &[&str]) -> Self {
        let names = stations
            .iter()
            .map(|(name, _)| *name)
            .chain(consumers.iter().copied());
        Self {
            members: names
                .map(|name| (name.to_owned(), Member::default()))
                .collect(),
            stations: stations
                .iter()
                .map(|&(name, rows)| {
                    let (lives, rate) = (Vec::new(), Rate::default());
                    (
                        name.to_owned(),
                        Station {
                            rows,
                            first_row: 0,
                            lives,
                            rate,
                        },
                    )
                })
                .collect(),
            consumers: consumers
                .iter()
                .map(|name| ((*name).to_owned(), Listener::default()))
                .collect(),
            found: Vec::new(),
            told: BTreeSet::new(),
            discovery_us: None,
            kill: None,
            first_item_us: None,
            last_item_us: 0,
        }
    }

    /// The same with other members, which are looked at as nodes only.
    pub(super) fn with_members(mut self, names: &[&str]) -> Self {
        for name in names {
            self.member(name);
        }
        self
    }

    /// Takes a report; returns what is worth telling.
    pub(super) fn handle(&mut self, who: &str, report: Report) -> Vec<String> {
        let mut news = Vec::new();
        match report {
            Report::Up { node, at_us } => {
                self.member(who).up_us = Some(at_us);
                let short = node.get(..10).unwrap_or(&node);
                news.push(format!("{who} is up as node {short}"));
                if let Some(kill) = self.kill.as_mut().filter(|kill| kill.station == who) {
                    kill.up_us = Some(at_us);
                }
            }
            Report::Found { name, at_us } => {
                if self.members.contains_key(&name) && name != who {
                    self.found.push((who.to_owned(), name, at_us));
                }
            }
            Report::Rtt { peers } => self.member(who).rtt = peers,
            Report::Started { node, epoch } => {
                if let Some(station) = self.stations.get_mut(who) {
                    let life = Life {
                        origin: who.to_owned(),
                        node,
                        epoch,
                        first_row: station.first_row,
                    };
                    station.lives.push(LifeState {
                        life,
                        accepted: 0,
                        done: false,
                    });
                }
            }
            Report::Online { at_us } => {
                let up = self.members.get(who).and_then(|member| member.up_us);
                let after = micros(at_us.saturating_sub(up.unwrap_or(at_us)));
                news.push(format!(
                    "{who} has all its consumers, {after} after it was up"
                ));
            }
            Report::Accepted { count, done } => {
                if let Some(life) = self.stations.get_mut(who).and_then(|s| s.lives.last_mut()) {
                    life.accepted = count;
                    life.done = done;
                }
            }
            Report::First { node, epoch, at_us } => {
                news.extend(self.on_first(who, &node, &epoch, at_us));
            }
            Report::Missed {
                node,
                epoch,
                from,
                to,
            } => {
                let origin = self.origin_of(&node, &epoch).unwrap_or("a stranger");
                news.push(format!(
                    "{who} missed {} of {origin}",
                    grouped(to.saturating_sub(from))
                ));
            }
            Report::Tick {
                sources,
                last_us,
                latency,
            } => {
                self.last_item_us = self.last_item_us.max(last_us);
                if let Some(consumer) = self.consumers.get_mut(who) {
                    consumer.positions = sources;
                    consumer.latency = latency.or(consumer.latency);
                }
            }
            Report::Final { sources, latency } => {
                if let Some(consumer) = self.consumers.get_mut(who) {
                    consumer.books = Some((sources, latency));
                }
            }
            // The outlook has these.
            Report::Forecast { .. } => {}
        }
        news.extend(self.tell_found());
        news
    }

    fn on_first(&mut self, who: &str, node: &str, epoch: &str, at_us: u64) -> Option<String> {
        self.first_item_us = Some(self.first_item_us.map_or(at_us, |first| first.min(at_us)));
        let origin = self.origin_of(node, epoch)?.to_owned();
        let kill = self.kill.as_mut()?;
        let restarted = kill.station == origin
            && self.stations[&origin]
                .lives
                .last()
                .is_some_and(|life| life.life.epoch == epoch);
        if !restarted {
            return None;
        }
        kill.first_us.insert(who.to_owned(), at_us);
        let after = micros(at_us.saturating_sub(kill.up_us?));
        Some(format!(
            "{who} receives {origin} again, {after} after it was up"
        ))
    }

    /// What each has found once it has found all, timed from when both nodes were up.
    fn tell_found(&mut self) -> Vec<String> {
        let mut news = Vec::new();
        let ups = self.members.values().map(|member| member.up_us);
        let ups: Option<Vec<u64>> = ups.collect();
        for (who, own) in self.members.keys().zip(ups.unwrap_or_default()) {
            let found = |name: &str| {
                let mut found = self.found.iter();
                found.find(|(a, b, _)| a == who && b == name)
            };
            let others = self.members.iter().filter(|(name, _)| *name != who);
            let times: Option<Vec<String>> = others
                .map(|(name, other)| {
                    let (_, _, at_us) = found(name)?;
                    let after = at_us.saturating_sub(own.max(other.up_us?));
                    Some(format!("{name} {}", micros(after)))
                })
                .collect();
            if let Some(times) = times
                && self.told.insert(who.clone())
            {
                news.push(format!("{who} found {}", times.join(", ")));
            }
        }
        if self.discovery_us.is_none() && self.all_found() {
            let up = self
                .members
                .values()
                .filter_map(|member| member.up_us)
                .max();
            let found = self.found.iter().map(|(_, _, at)| *at).max();
            let took = found.unwrap_or(0).saturating_sub(up.unwrap_or(0));
            self.discovery_us = Some(took);
            news.push(format!(
                "all {} nodes know each other, {} after the last was up",
                self.members.len(),
                micros(took)
            ));
        }
        news
    }

    fn all_found(&self) -> bool {
        let knows = |who: &String, name: &String| {
            who == name || self.found.iter().any(|(a, b, _)| a == who && b == name)
        };
        let members = || self.members.keys();
        self.members.values().all(|member| member.up_us.is_some())
            && members().all(|who| members().all(|name| knows(who, name)))
    }

    /// Brings the rates up to date.
    pub(super) fn clock(&mut self, now_us: u64) {
        for station in self.stations.values_mut() {
            let sent = station.lives.iter().map(|life| life.accepted).sum();
            station.rate.update(sent, now_us);
        }
        for consumer in self.consumers.values_mut() {
            let received = consumer
                .positions
                .iter()
                .map(|position| position.received)
                .sum();
            consumer.rate.update(received, now_us);
        }
    }

    /// Items of the running life of a station that the stream took.
    pub(super) fn accepted(&self, station: &str) -> u64 {
        self.running(station).map_or(0, |life| life.accepted)
    }

    /// Notes that a station was killed.
    pub(super) fn killed(&mut self, station: &str, now_us: u64) {
        let accepted = self.accepted(station);
        self.kill = Some(Kill {
            station: station.to_owned(),
            killed_us: now_us,
            accepted,
            resumed_row: 0,
            up_us: None,
            first_us: BTreeMap::new(),
        });
    }

    /// The first row of a killed station that some consumer does not have yet; its next life
    /// starts there.
    pub(super) fn resume(&mut self, station: &str) -> u64 {
        let row = self
            .consumers
            .values()
            .map(|consumer| self.reached(station, consumer))
            .min()
            .unwrap_or(0);
        if let Some(kill) = &mut self.kill {
            kill.resumed_row = row;
        }
        if let Some(station) = self.stations.get_mut(station) {
            station.first_row = row;
        }
        row
    }

    fn reached(&self, station: &str, consumer: &Listener) -> u64 {
        let lives = self.stations.get(station).map(|station| &station.lives);
        let reached = lives.into_iter().flatten().filter_map(|state| {
            let next = position(consumer, &state.life)?.next;
            Some(state.life.first_row + next)
        });
        reached.max().unwrap_or(0)
    }

    /// Whether each station sent everything and each consumer heard of everything.
    pub(super) fn is_complete(&self) -> bool {
        self.is_sent()
            && self.stations.keys().all(|station| {
                self.running(station).is_some_and(|state| {
                    self.consumers.values().all(|consumer| {
                        let next = position(consumer, &state.life).map_or(0, |p| p.next);
                        next >= state.accepted
                    })
                })
            })
    }

    /// Whether each station sent everything.
    pub(super) fn is_sent(&self) -> bool {
        let done = |name: &String| self.running(name).is_some_and(|life| life.done);
        self.stations.keys().all(done)
    }

    /// A number that grows with everything that is sent or received.
    pub(super) fn progress(&self) -> u64 {
        let lives = self.stations.values().flat_map(|station| &station.lives);
        let positions = self
            .consumers
            .values()
            .flat_map(|consumer| &consumer.positions);
        lives.map(|life| life.accepted).sum::<u64>()
            + positions
                .map(|position| position.received + position.missed)
                .sum::<u64>()
    }

    /// Whether the books of all consumers are in.
    pub(super) fn has_books(&self) -> bool {
        self.consumers
            .values()
            .all(|consumer| consumer.books.is_some())
    }

    /// The books of a consumer, empty ones when it did not hand them in.
    pub(super) fn books(&self, consumer: &str) -> (&[Source], &[(u64, u64)]) {
        let books = self.consumers.get(consumer).and_then(|c| c.books.as_ref());
        books.map_or((&[], &[]), |(sources, latency)| (sources, latency))
    }

    /// All lives of all stations.
    pub(super) fn lives(&self) -> Vec<Life> {
        let lives = self.stations.values().flat_map(|station| &station.lives);
        lives.map(|state| state.life.clone()).collect()
    }

    /// Names of the consumers.
    pub(super) fn consumers(&self) -> impl Iterator<Item = &str> {
        self.consumers.keys().map(String::as_str)
    }

    /// Number of nodes.
    pub(super) fn nodes(&self) -> usize {
        self.members.len()
    }

    /// From when the last node was up until all knew all.
    pub(super) fn discovery_us(&self) -> Option<u64> {
        self.discovery_us
    }

    /// What is known of the kill.
    pub(super) fn kill(&self) -> Option<&Kill> {
        self.kill.as_ref()
    }

    /// From the first item received until all was received.
    pub(super) fn streaming_us(&self) -> u64 {
        let first = self.first_item_us.unwrap_or(self.last_item_us);
        self.last_item_us.saturating_sub(first)
    }

    /// A line for each member, for people to watch.
    pub(super) fn lines(&self) -> Vec<String> {
        let stations = self.stations.iter().map(|(name, station)| {
            let first = station.lives.last().map_or(0, |state| state.life.first_row);
            let sent = first + self.accepted(name);
            format!(
                "{name:<8} sent     {:>7} of {:>6}  {:>7}/s   {}",
                grouped(sent),
                grouped(station.rows),
                grouped(station.rate.per_second()),
                self.state(name),
            )
        });
        let consumers = self.consumers.iter().map(|(name, consumer)| {
            let received = consumer.positions.iter().map(|p| p.received).sum();
            let missed = consumer.positions.iter().map(|p| p.missed).sum();
            let latency = consumer.latency.map_or(String::new(), |latency| {
                format!("p50 {}, p99 {}", micros(latency.p50), micros(latency.p99))
            });
            let rtt = self.members[name].rtt.iter();
            let stations = rtt.filter(|(peer, _)| self.stations.contains_key(peer));
            let rtt = stations
                .map(|(_, rtt)| *rtt)
                .max()
                .map_or(String::new(), |rtt| format!("   rtt up to {}", micros(rtt)));
            format!(
                "{name:<8} received {:>7}  missed {:>3}  {:>7}/s   {latency}{rtt}",
                grouped(received),
                grouped(missed),
                grouped(consumer.rate.per_second()),
            )
        });
        let lines = stations.chain(consumers);
        lines.map(|line| line.trim_end().to_owned()).collect()
    }

    fn state(&self, station: &str) -> &'static str {
        match self.running(station) {
            Some(life) if life.done => "done",
            _ if self
                .kill
                .as_ref()
                .is_some_and(|k| k.station == station && k.up_us.is_none()) =>
            {
                "killed"
            }
            Some(life) if life.accepted > 0 => "",
            _ => "waiting for its consumers",
        }
    }

    fn running(&self, station: &str) -> Option<&LifeState> {
        self.stations.get(station)?.lives.last()
    }

    fn member(&mut self, who: &str) -> &mut Member {
        self.members.entry(who.to_owned()).or_default()
    }

    fn origin_of(&self, node: &str, epoch: &str) -> Option<&str> {
        let mut lives = self.stations.values().flat_map(|station| &station.lives);
        let found = lives.find(|state| state.life.node == node && state.life.epoch == epoch);
        found.map(|state| state.life.origin.as_str())
    }
}

fn position<'a>(consumer: &'a Listener, life: &Life) -> Option<&'a Position> {
    let mut positions = consumer.positions.iter();
    positions.find(|position| position.node == life.node && position.epoch == life.epoch)
}

#[cfg(test)]
mod tests;
