//! Many filters at once.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;

use super::{
    fields::Fields,
    index::{self, Index},
    plan::{Plan, Test},
    record::Record,
    walk::{WalkError, walk},
};

/// Names a filter in a [`Set`], however many ask for it. A number is used again once the last who
/// asked for it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(u32);

impl GroupId {
    /// The number: less than the most filters that the set has ever held at once.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The filters of all who consume one stream. Each distinct one is evaluated once per item.
///
/// All plans must be made from the same schema: that of the stream. The set holds what it is
/// given; who inserts bounds how much that is.
///
/// A filter with `field == constant` or `field in [constants]` at its top, or as a side of the
/// `&&` there, is found by the field's value. It costs an item nothing unless the item has the
/// value. All other filters are evaluated for each item.
///
/// ```
/// use rivermesh_proto::{filter::{Filter, Set}, schema::Schema};
/// use serde_json::json;
///
/// let late = Filter::parse("dep_delay > 60")?.check(&Schema::Json)?;
/// let united = Filter::parse("carrier == 'UA'")?.check(&Schema::Json)?;
/// let mut set = Set::new();
/// let (late, united) = (set.insert(&late), set.insert(&united));
///
/// let flight = json!({ "carrier": "UA", "dep_delay": 5 });
/// assert_eq!(set.evaluate(&flight, None)?, [united]);
/// set.remove(united);
/// assert!(set.evaluate(&flight, None)?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Set {
    fields: Fields,
    record: Record,
    groups: Vec<Option<Group>>,
    free: Vec<u32>,
    by_text: HashMap<Arc<str>, u32>,
    /// By the number of the slot.
    indexes: Vec<Option<Box<Index>>>,
    /// Those that no index finds; sorted.
    scanned: Vec<u32>,
    matched: Vec<GroupId>,
}

#[derive(Debug)]
struct Group {
    plan: Plan,
    /// Where the record has each target of the plan.
    slots: Box<[u32]>,
    users: usize,
}

impl Group {
    /// What is left to test when the index has found the filter.
    fn rest(&self) -> &Test {
        let program = self.plan.program();
        program.lookup.as_ref().map_or(&program.test, |l| &l.rest)
    }
}

impl Set {
    /// No filters.
    #[must_use]
    pub fn new() -> Self {
        Self {
            fields: Fields::new(),
            record: Record::default(),
            groups: Vec::new(),
            free: Vec::new(),
            by_text: HashMap::new(),
            indexes: Vec::new(),
            scanned: Vec::new(),
            matched: Vec::new(),
        }
    }

    /// How many distinct filters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_text.len()
    }

    /// Whether there is no filter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_text.is_empty()
    }

    /// The number of a filter that is there.
    #[must_use]
    pub fn find(&self, plan: &Plan) -> Option<GroupId> {
        let id = self.by_text.get(&plan.program().canonical)?;
        Some(GroupId(*id))
    }

    /// Takes a filter in, or counts another who asks for it if it is there already.
    pub fn insert(&mut self, plan: &Plan) -> GroupId {
        let canonical = &plan.program().canonical;
        if let Some(&id) = self.by_text.get(canonical)
            && let Some(group) = &mut self.groups[id as usize]
        {
            group.users += 1;
            return GroupId(id);
        }
        let targets = &plan.program().targets;
        let group = Group {
            plan: plan.clone(),
            slots: targets.iter().map(|t| self.fields.add(t)).collect(),
            users: 1,
        };
        let id = self.free.pop().unwrap_or_else(|| {
            self.groups.push(None);
            // Each is a filter in memory: 2^32 of them do not fit.
            (self.groups.len() - 1) as u32
        });
        self.indexes.resize_with(self.fields.len(), || None);
        match &plan.program().lookup {
            Some(lookup) => {
                let slot = group.slots[lookup.target] as usize;
                let index = self.indexes[slot].get_or_insert_default();
                let entry = lookup.entry(id);
                lookup.values.iter().for_each(|v| index.insert(v, entry));
            }
            None => index::insert_sorted(&mut self.scanned, id),
        }
        self.by_text.insert(canonical.clone(), id);
        self.groups[id as usize] = Some(group);
        GroupId(id)
    }

    /// Takes back one [`insert`](Self::insert). True if it was the last of its filter, which is
    /// gone then; false as well for an id that names none.
    pub fn remove(&mut self, id: GroupId) -> bool {
        let Some(place) = self.groups.get_mut(id.index()) else {
            return false;
        };
        match place {
            Some(group) if group.users > 1 => {
                group.users -= 1;
                return false;
            }
            _ => {}
        }
        let Some(group) = place.take() else {
            return false;
        };
        let program = group.plan.program();
        match &program.lookup {
            Some(lookup) => {
                let index = &mut self.indexes[group.slots[lookup.target] as usize];
                if let Some(found) = index {
                    let entry = lookup.entry(id.0);
                    lookup.values.iter().for_each(|v| found.remove(v, entry));
                    if found.is_empty() {
                        *index = None;
                    }
                }
            }
            None => index::remove_sorted(&mut self.scanned, &id.0),
        }
        for (slot, target) in group.slots.iter().zip(&program.targets) {
            self.fields.remove(*slot, target);
        }
        self.by_text.remove(&program.canonical);
        self.free.push(id.0);
        true
    }

    /// The filters that an item fulfils, each once, in no particular order. Allocates nothing once
    /// it has seen items of the kind.
    ///
    /// `key` is the item's key, if it has one.
    ///
    /// # Errors
    /// When the item's `Serialize` implementation fails.
    pub fn evaluate<T: Serialize + ?Sized>(
        &mut self,
        item: &T,
        key: Option<&[u8]>,
    ) -> Result<&[GroupId], WalkError> {
        self.matched.clear();
        if self.is_empty() {
            return Ok(&[]);
        }
        walk(&self.fields, &mut self.record, item, key)?;
        let record = &self.record;
        for &slot in record.filled() {
            let Some(Some(index)) = self.indexes.get(slot as usize) else {
                continue;
            };
            let found = record.value(slot).map(|value| index.get(value));
            for entry in found.unwrap_or_default() {
                let holds = |group: &Group| group.rest().holds(record, &group.slots);
                let group = || self.groups.get(entry.filter as usize)?.as_ref();
                if entry.is_all || group().is_some_and(holds) {
                    self.matched.push(GroupId(entry.filter));
                }
            }
        }
        for &id in &self.scanned {
            if let Some(group) = &self.groups[id as usize]
                && group.plan.program().test.holds(record, &group.slots)
            {
                self.matched.push(GroupId(id));
            }
        }
        Ok(&self.matched)
    }

    /// What the last [`evaluate`](Self::evaluate) gave; none where it failed.
    #[must_use]
    pub fn matched(&self) -> &[GroupId] {
        &self.matched
    }
}

/// What a set keeps, for the tests.
#[cfg(test)]
#[derive(Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) is_asked: bool,
    pub(super) nodes: usize,
    pub(super) groups: usize,
    pub(super) slots: usize,
    pub(super) indexes: usize,
    pub(super) scanned: usize,
}

#[cfg(test)]
impl Set {
    pub(super) fn kept(&self) -> Kept {
        Kept {
            is_asked: self.fields.is_asked(),
            nodes: self.fields.len(),
            groups: self.groups.len(),
            slots: self.indexes.len(),
            indexes: self.indexes.iter().flatten().count(),
            scanned: self.scanned.len(),
        }
    }

    /// About how many bytes of the last item it keeps.
    pub(super) fn kept_bytes(&self) -> usize {
        self.record.memory()
    }
}

impl Default for Set {
    fn default() -> Self {
        Self::new()
    }
}

/// One filter by itself.
#[derive(Debug)]
pub struct Evaluator {
    plan: Plan,
    slots: Box<[u32]>,
    fields: Fields,
    record: Record,
}

impl Evaluator {
    /// An evaluator of a filter.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let mut fields = Fields::new();
        let targets = &plan.program().targets;
        Self {
            slots: targets.iter().map(|t| fields.add(t)).collect(),
            plan,
            fields,
            record: Record::default(),
        }
    }

    /// Whether an item fulfils the filter; `key` is the item's key, if it has one.
    ///
    /// # Errors
    /// When the item's `Serialize` implementation fails.
    pub fn matches<T: Serialize + ?Sized>(
        &mut self,
        item: &T,
        key: Option<&[u8]>,
    ) -> Result<bool, WalkError> {
        walk(&self.fields, &mut self.record, item, key)?;
        Ok(self.plan.program().test.holds(&self.record, &self.slots))
    }

    /// The filter.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}
