//! Where a consumer begins with a producer.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rivermesh_proto::{Epoch, Seq, limits, subscribe};

use super::{event::LeaveReason, pattern::Followee, receiver::Place};

/// Where a consumer begins with each producer that it begins to follow.
///
/// What a producer keeps for those who come later is its own decision
/// ([`Retention`](crate::producer::Retention)). After a broken connection a consumer goes on where it
/// was, whatever this says; a producer that was left and is followed again goes on where it was left,
/// if it is still the same life of its stream and this is not [`Latest`](Self::Latest).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// With what is sent from then on. The default.
    #[default]
    Latest,
    /// With the oldest item that the producer keeps. Where it keeps the newest item of each key
    /// beyond that, these come first; what they have superseded is told as filtered.
    Earliest,
    /// With this number, of whatever life of the stream each producer is in. What is not kept any
    /// more is told as missed, in one range; or, where the producer keeps the newest item of each
    /// key, as filtered. If it was not sent yet, with what is sent from then on.
    At(Seq),
    /// With what was sent at this time or later, by the producer's clock. Up to one batch of what was
    /// sent before it comes as well; none that was sent later is left out, unless it is not kept.
    Since(SystemTime),
    /// As [`Since`](Self::Since), with what was sent within this time before the producer admitted
    /// the consumer, by its clock alone.
    Ago(Duration),
    /// With the newest item of each key, in the order of their numbers, and then what is sent from
    /// then on. What is superseded is told as filtered. A producer that does not keep these refuses
    /// ([`SubscribeError::NotCompacted`](super::SubscribeError::NotCompacted)).
    LastPerKey,
}

impl Start {
    /// As it is asked for.
    pub(super) fn asked(self) -> subscribe::Start {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        match self {
            Self::Latest => subscribe::Start::Latest,
            Self::Earliest => subscribe::Start::Earliest,
            Self::At(seq) => subscribe::Start::At { seq },
            Self::Since(time) => {
                let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                subscribe::Start::Since { at_us: us(since) }
            }
            Self::Ago(time) => subscribe::Start::Ago { us: us(time) },
            Self::LastPerKey => subscribe::Start::LastPerKey,
        }
    }
}

impl Place {
    /// Asks for what follows.
    pub(super) fn asked(self) -> subscribe::Start {
        let Self {
            epoch,
            next,
            thinned: until,
        } = self;
        if next < until {
            subscribe::Start::Rest { epoch, next, until }
        } else {
            subscribe::Start::Resume { epoch, next }
        }
    }

    /// What to ask for when the producer is followed anew that was left here.
    pub(super) fn again(self, start: subscribe::Start, reason: LeaveReason) -> subscribe::Start {
        match (start, reason) {
            (subscribe::Start::Latest, _) => start,
            // What made it fall behind would make it fall behind again.
            (_, LeaveReason::Lagged) => subscribe::Start::Latest,
            _ => self.asked(),
        }
    }
}

/// Where producers were left, so that one that is back is not read twice.
#[derive(Debug, Default)]
pub(super) struct Left(HashMap<Followee, Place>);

impl Left {
    /// Notes where a producer was left.
    pub(super) fn note(&mut self, followee: Followee, place: Place) {
        // As many as there can be members. One that is not noted is begun anew.
        if self.0.len() < limits::CATALOG {
            self.0.insert(followee, place);
        }
    }

    /// What to ask a producer for that is in this life of its stream.
    pub(super) fn start(
        &mut self,
        followee: &Followee,
        epoch: Epoch,
        start: Start,
    ) -> subscribe::Start {
        let place = self.0.remove(followee);
        match place.filter(|place| place.epoch == epoch && start != Start::Latest) {
            Some(place) => place.asked(),
            None => start.asked(),
        }
    }
}
