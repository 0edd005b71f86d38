//! One layer's experts: the order, the slots and what was counted. The engine
//! holds weights in it, a simulation nothing.

use crate::depth::Depth;
use crate::learned::Learned;
use crate::ranking::{Policy, Ranking};
use crate::slots::Slots;

/// What a step found: wanted experts that are held, and those that are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lookup {
    pub hits: Vec<u32>,
    pub misses: Vec<u32>,
}

/// Experts of one layer in slots.
///
/// A step goes: [`look_up`](Self::look_up) all wanted experts, then
/// [`record`](Self::record) their uses, then [`admit`](Self::admit) those that were
/// missing. Everything wanted is looked up before anything leaves.
#[derive(Debug)]
pub struct Resident<T> {
    slots: Slots<T>,
    order: Learned,
    policy: Policy,
}

impl<T> Resident<T> {
    pub fn new(experts: usize, capacity: usize, policy: Policy) -> Resident<T> {
        Resident {
            slots: Slots::new(experts, capacity),
            order: Learned::new(policy, experts),
            policy,
        }
    }

    pub fn policy(&self) -> Policy {
        self.policy
    }

    pub fn slots(&self) -> &Slots<T> {
        &self.slots
    }

    pub fn order(&self) -> &Learned {
        &self.order
    }

    pub fn ranking(&self) -> &Ranking {
        self.order.ranking()
    }

    pub fn seed(&mut self, uses: &[u32], tokens: u64) {
        self.order.seed(uses, tokens);
    }

    /// Distinct experts, divided into held and missing.
    pub fn look_up(&self, wanted: &[u32]) -> Lookup {
        let (hits, misses) = wanted.iter().partition(|e| self.slots.holds(**e));
        Lookup { hits, misses }
    }

    /// Depths of one token's experts; before they are recorded, once per decoded token.
    pub fn depths(&mut self, wanted: &[u32]) -> Vec<Depth> {
        self.order.depths(wanted)
    }

    /// Notes that the token `now`, counted from 1, uses these experts.
    pub fn record(&mut self, ids: &[u32], now: u64) {
        ids.iter().for_each(|e| self.order.record(*e, now));
    }

    /// Lets the rule change; once per decoded token.
    pub fn reconsider(&mut self) -> bool {
        self.order.reconsider(self.slots.capacity())
    }

    /// See [`Slots::admit`].
    pub fn admit(&mut self, expert: u32, what: T) -> Option<(u32, T)> {
        self.slots.admit(expert, what, self.order.ranking())
    }

    /// See [`Slots::resize`].
    pub fn resize(&mut self, capacity: usize) -> Vec<T> {
        self.slots.resize(capacity, self.order.ranking())
    }

    /// See [`Slots::release`].
    pub fn release(&mut self, expert: u32) -> Option<T> {
        self.slots.release(expert)
    }

    /// See [`Slots::next_to_fill`].
    pub fn next_to_fill(&self) -> Option<u32> {
        self.slots.next_to_fill(self.order.ranking())
    }
}

impl<T> Resident<T> {
    /// Takes another policy; the slots keep what they hold until it decides otherwise.
    pub fn set_policy(&mut self, policy: Policy, uses: &[u32], tokens: u64) {
        if policy != self.policy {
            self.policy = policy;
            self.order = Learned::new(policy, self.order.ranking().experts());
            self.order.seed(uses, tokens);
        }
    }
}
