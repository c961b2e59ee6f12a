//! Which items of a batch a subscription gets, where the log does not know.

use std::sync::Arc;

use rivermesh_proto::{
    Seq,
    batch::{Batch, Pick},
    filter::{Evaluator, GroupId, Plan},
    schema::Schema,
};
use tokio::sync::Notify;

use super::{core::Core, log::Log};
use crate::{Datum, Payload, datum::Filters};

/// Picks the items of a sealed batch, from a number on, that a filter lets through.
pub(super) type Select = fn(&Batch, Seq, &Arc<Schema>, &mut Evaluator) -> Vec<Pick>;

/// [`Select`] for items of a type.
pub(super) fn select<T: Datum>(
    batch: &Batch,
    from: Seq,
    schema: &Arc<Schema>,
    evaluator: &mut Evaluator,
) -> Vec<Pick> {
    let mut picks = Vec::new();
    let mut position = batch.start();
    loop {
        let offset = position.offset();
        let Some((seq, data)) = batch.next(&mut position) else {
            return picks;
        };
        if seq < from {
            continue;
        }
        // An item that does not read back is the program's own fault; its consumer is to see it.
        let mut matches = true;
        if let Ok(item) = T::decode(Payload::new(batch.body(), data, Some(schema))) {
            let _ = item.show(Filters::one(evaluator, &mut matches));
        }
        if matches {
            picks.push(Pick { seq, offset });
        }
    }
}

/// A subscription's filter.
#[derive(Debug)]
pub(crate) struct Filtered {
    group: GroupId,
    plan: Plan,
    pub(super) bell: Arc<Notify>,
    /// For items from before the group began; made when there are any.
    evaluator: Option<Evaluator>,
}

impl Filtered {
    pub(super) fn new(log: &Log, group: GroupId, plan: Plan) -> Self {
        Self {
            group,
            plan,
            bell: log.bell(group),
            evaluator: None,
        }
    }

    pub(super) fn group(&self) -> GroupId {
        self.group
    }

    /// The items of a batch, from a number on, that the filter lets through.
    pub(super) fn select(&mut self, core: &Core, batch: &Batch, from: Seq) -> Vec<Pick> {
        let plan = &self.plan;
        let evaluator = self
            .evaluator
            .get_or_insert_with(|| Evaluator::new(plan.clone()));
        (core.select)(batch, from, &core.schema, evaluator)
    }
}

/// Which items of a batch are wanted, if the filter lets them through.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// All from this one on.
    From(Seq),
    /// These, in order.
    These(&'a [Seq]),
}

/// All items of a batch.
pub(super) fn all(batch: &Batch) -> Vec<Pick> {
    let mut picks = Vec::with_capacity(batch.count() as usize);
    let mut position = batch.start();
    loop {
        let offset = position.offset();
        let Some((seq, _)) = batch.next(&mut position) else {
            return picks;
        };
        picks.push(Pick { seq, offset });
    }
}
