//! One name at run time.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use rivermesh_proto::{
    NodeId, Seq,
    filter::FilterSource,
    named::{self, ConsumerName, Share},
    subscribe::{Refusal, Update},
};
use tokio::sync::Notify;

use super::{
    Ahead, Token,
    alone::Alone,
    config::Named,
    group::{Group, Limits},
    reader::{Place, Reader},
};

/// A name, and what is known of it.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: ConsumerName,
    pub(super) share: Share,
    state: Mutex<State>,
    /// Everything before this is acknowledged; the log keeps what follows.
    committed: AtomicU64,
    /// Rings when there may be something to do for those that have the name.
    pub(super) bell: Notify,
    /// Held by the member that reads from disk for the others.
    pub(super) fetching: tokio::sync::Mutex<()>,
    pub(super) lag: metrics::Gauge,
}

/// How far the name is.
#[derive(Debug)]
pub(super) enum State {
    Alone(Alone),
    Group(Box<Shared>),
}

/// A group and what it reads.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) group: Group<Place>,
    /// The filter of all members: that of the first of them.
    pub(super) filter: Option<FilterSource>,
    /// There while there are members.
    pub(super) reader: Option<Reader>,
    /// Items before this may have been sent in an earlier life of the process.
    sent_before: Seq,
}

impl Room {
    /// A name that nobody has yet. Items before `sent` may have been sent in an earlier life of the
    /// process.
    pub(super) fn new(
        (name, share): (ConsumerName, Share),
        start: Seq,
        sent: Seq,
        now: Instant,
        lag: metrics::Gauge,
    ) -> Self {
        let state = match share {
            Share::Alone => State::Alone(Alone::recovered(start, sent, now)),
            Share::Least | Share::Key => State::Group(Box::new(Shared {
                group: Group::new(share == Share::Key, start, now),
                filter: None,
                reader: None,
                sent_before: sent,
            })),
        };
        Self {
            name,
            share,
            state: Mutex::new(state),
            committed: AtomicU64::new(start),
            bell: Notify::new(),
            fetching: tokio::sync::Mutex::default(),
            lag,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything before this is acknowledged, as far as the log has been told.
    pub(super) fn committed(&self) -> Seq {
        self.committed.load(Ordering::Acquire)
    }

    /// Notes how far the name is. True if that is new.
    pub(super) fn note(&self, state: &State) -> bool {
        let committed = state.committed();
        self.committed.swap(committed, Ordering::AcqRel) != committed
    }

    /// Takes what a consumer says that it has done with. True if the name has got on.
    pub(super) fn acknowledge(&self, token: Token, said: &Update) -> Result<bool, Ahead> {
        let mut state = self.state();
        match (&mut *state, said) {
            (State::Alone(alone), Update::Commit { upto }) => {
                alone.commit(token, *upto)?;
            }
            (State::Group(shared), Update::Acknowledge { items }) => {
                if shared.group.acknowledge(token, items)? > 0
                    && let Some(reader) = &mut shared.reader
                {
                    reader.is_stuck = false;
                }
            }
            // The other kind of acknowledgement means nothing here, so the consumer is out of step.
            _ => return Err(Ahead),
        }
        let moved = self.note(&state);
        drop(state);
        self.bell.notify_waiters();
        Ok(moved)
    }
}

impl State {
    pub(super) fn committed(&self) -> Seq {
        match self {
            Self::Alone(alone) => alone.committed(),
            Self::Group(shared) => shared.group.committed(),
        }
    }

    pub(super) fn in_flight(&self) -> u64 {
        match self {
            Self::Alone(alone) => alone.in_flight(),
            Self::Group(shared) => shared.group.in_flight(),
        }
    }

    pub(super) fn away(&self) -> Option<Instant> {
        match self {
            Self::Alone(alone) => alone.away(),
            Self::Group(shared) => shared.group.away(),
        }
    }

    /// Those that have the name.
    pub(super) fn tokens(&self) -> Vec<Token> {
        match self {
            Self::Alone(alone) => alone.holder().into_iter().collect(),
            Self::Group(shared) => shared.group.tokens().collect(),
        }
    }

    /// Gives the name to a consumer. Gives where it begins, which items may come a second time, and
    /// who had it before.
    pub(super) fn attach(
        &mut self,
        node: NodeId,
        token: Token,
        ask: &named::Named,
        bounds: &Named,
    ) -> Result<(Seq, Seq, Option<Token>), Refusal> {
        let asked = match ask.max_in_flight {
            0 => u32::MAX,
            asked => asked,
        };
        match self {
            Self::Alone(alone) => {
                let max = u64::from(asked.min(bounds.in_flight));
                let before = alone.attach(node, token, max);
                let before = before.map_err(|_| Refusal::NameHeld)?;
                Ok((alone.committed(), alone.sent(), before))
            }
            Self::Group(shared) => {
                let limits = Limits {
                    items: asked.min(bounds.member_items) as usize,
                    bytes: bounds.member_bytes,
                };
                let from = shared.group.join(token, limits);
                Ok((from, shared.sent_before, None))
            }
        }
    }

    /// Takes the name from a consumer, if it has it.
    pub(super) fn detach(&mut self, token: Token, now: Instant) -> Option<Reader> {
        match self {
            Self::Alone(alone) => {
                alone.detach(token, now);
                None
            }
            Self::Group(shared) => {
                if shared.group.leave(token, now)
                    && let Some(reader) = &mut shared.reader
                {
                    reader.is_stuck = false;
                }
                if shared.group.members() == 0 {
                    shared.reader.take()
                } else {
                    None
                }
            }
        }
    }
}
