//! The slots of one layer: which experts are held, and who has to leave.

use crate::ranking::Ranking;

/// At most `capacity` experts of a layer, each with what is held for it (its
/// weights in the engine, nothing in a simulation).
///
/// After every admission the held experts are the best ranked of those that were
/// ever offered, so the content depends on the order alone and not on the way there.
#[derive(Debug)]
pub struct Slots<T> {
    capacity: usize,
    held: Vec<Option<T>>,
    count: usize,
}

impl<T> Slots<T> {
    pub fn new(experts: usize, capacity: usize) -> Slots<T> {
        Slots {
            capacity: capacity.min(experts),
            held: (0..experts).map(|_| None).collect(),
            count: 0,
        }
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Experts held now.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn get(&self, expert: u32) -> Option<&T> {
        self.held[expert as usize].as_ref()
    }

    pub fn holds(&self, expert: u32) -> bool {
        self.held[expert as usize].is_some()
    }

    /// Offers an expert that is not held. Returns what has no slot afterwards:
    /// nothing while slots are free, else the worst ranked expert with what was
    /// held for it, which may be the newcomer itself.
    ///
    /// # Panics
    /// If the expert is held already.
    pub fn admit(&mut self, expert: u32, what: T, ranking: &Ranking) -> Option<(u32, T)> {
        assert!(!self.holds(expert), "expert {expert} is held already");
        if self.count >= self.capacity {
            match self.worst(ranking) {
                Some(victim) if ranking.better(expert, victim) => {
                    let out = self.held[victim as usize].take();
                    self.held[expert as usize] = Some(what);
                    return out.map(|out| (victim, out));
                }
                _ => return Some((expert, what)),
            }
        }
        self.held[expert as usize] = Some(what);
        self.count += 1;
        None
    }

    /// Would an offer of this expert lead to a slot?
    pub fn would_admit(&self, expert: u32, ranking: &Ranking) -> bool {
        self.count < self.capacity
            || self
                .worst(ranking)
                .is_some_and(|victim| ranking.better(expert, victim))
    }

    /// Changes the number of slots; returns what has to leave, worst ranked first.
    pub fn resize(&mut self, capacity: usize, ranking: &Ranking) -> Vec<T> {
        self.capacity = capacity.min(self.held.len());
        if self.count <= self.capacity {
            return Vec::new();
        }
        let excess = self.count - self.capacity;
        let order = ranking.order();
        let leave: Vec<u32> = order
            .into_iter()
            .rev()
            .filter(|e| self.holds(*e))
            .take(excess)
            .collect();
        self.count = self.capacity;
        leave
            .into_iter()
            .filter_map(|e| self.held[e as usize].take())
            .collect()
    }

    /// Frees the slot of an expert, if it has one.
    pub fn release(&mut self, expert: u32) -> Option<T> {
        let out = self.held[expert as usize].take();
        self.count -= usize::from(out.is_some());
        out
    }

    /// The best ranked expert without a slot, if a slot is free.
    pub fn next_to_fill(&self, ranking: &Ranking) -> Option<u32> {
        if self.count >= self.capacity {
            return None;
        }
        self.experts(false)
            .reduce(|a, b| if ranking.better(b, a) { b } else { a })
    }

    fn worst(&self, ranking: &Ranking) -> Option<u32> {
        self.experts(true)
            .reduce(|a, b| if ranking.better(a, b) { b } else { a })
    }

    fn experts(&self, held: bool) -> impl Iterator<Item = u32> {
        (0..self.held.len() as u32).filter(move |e| self.holds(*e) == held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranking::Rule;

    fn used(times: &[(u32, u64)]) -> Ranking {
        let mut r = Ranking::new(Rule::Recent, 6);
        times.iter().for_each(|(e, t)| r.record(*e, *t));
        r
    }

    #[test]
    fn the_worst_ranked_leaves_even_if_it_is_the_newcomer() {
        let r = used(&[(0, 4), (1, 2), (2, 3), (3, 1)]);
        let mut slots = Slots::new(6, 2);
        assert_eq!(slots.admit(0, 'a', &r), None);
        assert_eq!(slots.admit(1, 'b', &r), None);
        assert!(!slots.would_admit(3, &r));
        assert_eq!(slots.admit(3, 'd', &r), Some((3, 'd')));
        assert_eq!(slots.admit(2, 'c', &r), Some((1, 'b')));
        assert!(slots.holds(0) && slots.holds(2) && slots.len() == 2);
    }

    #[test]
    fn no_slots_hold_nothing() {
        let r = used(&[(0, 1)]);
        let mut slots = Slots::new(6, 0);
        assert_eq!(slots.admit(0, (), &r), Some((0, ())));
        assert!(slots.is_empty() && slots.next_to_fill(&r).is_none());
    }

    #[test]
    fn shrinking_drops_the_worst_and_growing_fills_the_best() {
        let r = used(&[(0, 4), (1, 2), (2, 3), (3, 1)]);
        let mut slots = Slots::new(6, 4);
        (0..4).for_each(|e| assert!(slots.admit(e, e, &r).is_none()));
        assert_eq!(slots.resize(2, &r), [3, 1]);
        assert_eq!(slots.next_to_fill(&r), None);
        assert!(slots.resize(4, &r).is_empty());
        assert_eq!(slots.next_to_fill(&r), Some(1));
        assert_eq!((slots.release(0), slots.release(0)), (Some(0), None));
        assert_eq!((slots.len(), slots.next_to_fill(&r)), (1, Some(0)));
    }
}
