//! What a subscription with a name does instead of reading the log itself.

use std::pin::pin;

use bytes::Bytes;
use rivermesh_proto::{
    Seq,
    batch::{self, Pick},
    named::Share,
};
use tokio::time::sleep;

use super::{group::Outgoing, names::Claim, reader::Place, room::State, stage::Stage};
use crate::producer::feed::{Feed, PULL_BYTES, Pull, SILENCE, Taken, behind};

/// A subscription's part in a name.
#[derive(Debug)]
pub(crate) struct Holding {
    claim: Claim,
    part: Part,
}

#[derive(Debug)]
enum Part {
    /// It reads the log, and what may not be sent yet waits.
    Alone(Stage),
    /// It gets what the group deals out to it.
    Member {
        /// Everything before this was put out, or told not to be for it.
        told: Seq,
        /// It is to be told where it stands, though there is no item for it.
        is_silent: bool,
    },
}

impl Holding {
    pub(crate) fn new(claim: Claim) -> Self {
        let part = if claim.is_shared() {
            Part::Member {
                told: claim.from,
                is_silent: false,
            }
        } else {
            Part::Alone(Stage::new(claim.from))
        };
        Self { claim, part }
    }

    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Whether items are shared with others.
    pub(crate) fn is_member(&self) -> bool {
        matches!(self.part, Part::Member { .. })
    }

    /// Everything before this was put out or left out.
    pub(crate) fn told(&self) -> Seq {
        match &self.part {
            Part::Alone(stage) => stage.told(),
            Part::Member { told, .. } => *told,
        }
    }

    /// As [`Feed::pull`], which counts.
    pub(crate) fn pull(
        &mut self,
        feed: &mut Feed,
        out: &mut Vec<Bytes>,
        taken: &mut Taken,
    ) -> Pull {
        match &mut self.part {
            Part::Alone(stage) => pull_alone(&self.claim, stage, feed, out, taken),
            Part::Member { told, is_silent } => {
                pull_member(&self.claim, (told, is_silent), out, taken)
            }
        }
    }

    /// Takes what was read from disk.
    pub(crate) fn push(&mut self, frames: Vec<Bytes>) {
        if let Part::Alone(stage) = &mut self.part {
            stage.push(frames);
        }
    }

    /// Reads from disk what the group gets next, for all its members. One of them is enough, and it may
    /// be gone before it is done.
    pub(crate) async fn fetch(&self) {
        let Claim { core, room, .. } = &self.claim;
        let turn = room.fetching.lock().await;
        let place = match &*room.state() {
            State::Group(shared) => shared.behind(),
            State::Alone(_) => None,
        };
        let (Some((from, to)), Some(disk)) = (place, core.disk()) else {
            return;
        };
        let found = behind::read(disk.reader(), from, core.name.as_str()).await;
        if let State::Group(shared) = &mut *room.state()
            && shared.behind() == Some((from, to))
            && let Some(reader) = &mut shared.reader
        {
            reader.take_up(found, to);
        }
        drop(turn);
        room.bell.notify_waiters();
    }

    /// Whether a pull now would have to seal the open batch.
    pub(crate) fn would_seal(&self, feed: &Feed) -> bool {
        match &self.part {
            Part::Alone(stage) => stage.is_empty() && feed.reads_open(),
            Part::Member { .. } => match &*self.claim.room.state() {
                State::Group(shared) => shared.reader.as_ref().is_some_and(|reader| {
                    !reader.is_behind() && shared.group.wants() && reader.feed.reads_open()
                }),
                State::Alone(_) => false,
            },
        }
    }

    /// Gives up what was read and not put out; it is read again from what this gives.
    pub(crate) fn rewind(&mut self) -> Option<Seq> {
        match &mut self.part {
            Part::Alone(stage) => {
                stage.clear();
                Some(stage.told())
            }
            Part::Member { .. } => None,
        }
    }

    /// Notes that the consumer was told of everything before `upto`.
    pub(crate) fn tell(&mut self, upto: Seq) {
        if let (Part::Alone(stage), State::Alone(alone)) =
            (&mut self.part, &mut *self.claim.room.state())
        {
            stage.tell(upto);
            alone.put_out(self.claim.token, [], upto);
        }
    }

    /// Waits until there is more to pull. False where the log is to be waited for.
    pub(crate) async fn ready(&mut self) -> bool {
        let Claim {
            core, room, token, ..
        } = &self.claim;
        let mut data = pin!(core.data.notified());
        let mut bell = pin!(room.bell.notified());
        // From here on a notification is kept for us, so looking before waiting loses none.
        data.as_mut().enable();
        bell.as_mut().enable();
        match (&mut self.part, &*room.state()) {
            (Part::Alone(stage), State::Alone(_)) if stage.is_empty() => return false,
            (Part::Alone(_), State::Alone(alone)) if alone.room(*token) > 0 => return true,
            (Part::Member { .. }, State::Group(shared))
                if shared.group.has_outgoing(*token) || shared.can_deal() || shared.is_done() =>
            {
                return true;
            }
            _ => {}
        }
        match &mut self.part {
            // What it waits for is a commit, not the log.
            Part::Alone(_) => bell.await,
            Part::Member { told, is_silent } => {
                let behind = match &*room.state() {
                    State::Group(shared) => shared.group.told(*token) > *told,
                    State::Alone(_) => false,
                };
                tokio::select! {
                    () = data => {}
                    () = bell => {}
                    () = sleep(SILENCE), if behind => *is_silent = true,
                }
            }
        }
        true
    }
}

fn pull_alone(
    claim: &Claim,
    stage: &mut Stage,
    feed: &mut Feed,
    out: &mut Vec<Bytes>,
    taken: &mut Taken,
) -> Pull {
    let mut pull = Pull::Nothing;
    if stage.is_empty() {
        let mut frames = Vec::new();
        pull = feed.read(&mut frames);
        stage.push(frames);
    }
    let mut state = claim.room.state();
    let State::Alone(alone) = &mut *state else {
        return Pull::Nothing;
    };
    let released = stage.release(alone.room(claim.token), out);
    taken.items += released.count();
    taken.bytes += released.bytes;
    taken.missed += released.missed;
    alone.put_out(claim.token, released.items, stage.told());
    let moved = claim.room.note(&state);
    drop(state);
    if moved {
        claim.core.names.hold(&claim.core);
    }
    match pull {
        _ if !out.is_empty() => Pull::Frames,
        Pull::Frames => Pull::Nothing,
        other => other,
    }
}

fn pull_member(
    claim: &Claim,
    (told, is_silent): (&mut Seq, &mut bool),
    out: &mut Vec<Bytes>,
    taken: &mut Taken,
) -> Pull {
    let key_of = (claim.room.share == Share::Key).then_some(claim.core.names.key_of);
    let mut state = claim.room.state();
    let State::Group(shared) = &mut *state else {
        return Pull::Nothing;
    };
    let dealt = shared.deal(key_of);
    let (items, upto) = shared.group.take(claim.token, PULL_BYTES);
    let gap = shared.group.gap(claim.token);
    let is_done = shared.is_done();
    let behind = shared.behind().filter(|_| shared.can_deal());
    let moved = claim.room.note(&state);
    drop(state);
    if moved {
        claim.core.names.hold(&claim.core);
    }
    if dealt || is_done {
        claim.room.bell.notify_waiters();
    }
    let silent = std::mem::take(is_silent);
    put_out(&items, upto, told, out, taken);
    if let Some(gap) = gap {
        if *told < gap.start {
            out.push(batch::filtered(*told..gap.start));
        }
        taken.missed += gap.end - gap.start;
        *told = gap.end;
        out.push(batch::gap(gap.start, gap.end));
    }
    if (silent || is_done) && *told < upto {
        out.push(batch::filtered(*told..upto));
        *told = upto;
    }
    match (out.is_empty(), is_done, behind) {
        (false, ..) => Pull::Frames,
        (true, true, _) => Pull::Ended,
        (true, false, Some((_, to))) => Pull::Behind { to },
        (true, false, None) => Pull::Nothing,
    }
}

/// Makes frames of what a member gets: one for each batch that has something new, and one for each
/// that has something returned.
fn put_out(
    items: &[Outgoing<Place>],
    upto: Seq,
    told: &mut Seq,
    out: &mut Vec<Bytes>,
    taken: &mut Taken,
) {
    let last_new = items.iter().rposition(|item| !item.is_returned);
    let same = |a: &Outgoing<Place>, b: &Outgoing<Place>| {
        a.is_returned == b.is_returned && a.place.frame.as_ptr() == b.place.frame.as_ptr()
    };
    let mut at = 0;
    for run in items.chunk_by(same) {
        at += run.len();
        let picks = run.iter().map(|item| Pick {
            seq: item.seq,
            offset: item.place.offset,
        });
        let frame = &run[0].place.frame;
        let made = if run[0].is_returned {
            taken.again += run.len() as u64;
            batch::redelivered(frame, picks)
        } else {
            let end = match run.last() {
                Some(last) if last_new >= Some(at) => last.seq + 1,
                _ => upto,
            };
            taken.items += run.len() as u64;
            let from = std::mem::replace(told, end);
            batch::thinned(frame, from..end, picks)
        };
        taken.bytes += made.as_ref().map_or(0, |frame| frame.len() as u64);
        out.extend(made);
    }
}
