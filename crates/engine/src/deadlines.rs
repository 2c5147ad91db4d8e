//! The earliest of millions of deadlines: a heap whose entries know their place.
//!
//! A released lock removes its entry at once, so short holds with long ttls leave nothing behind. The heap
//! has four children per node (Johnson, "Priority queues with update and finding minimum spanning trees",
//! 1975): it is half as deep as a binary one, and the four are adjacent in memory.

use redis_lock_core::time::Micros;

/// The place of an entry that is in no heap.
pub const NOWHERE: u32 = u32::MAX;

const CHILDREN: usize = 4;

/// An entry among the deadlines. It is told its place whenever that changes, and is found by it.
pub trait Entry {
    /// Notes the new place of the entry, or [`NOWHERE`] when it was removed.
    fn set_place(&self, place: u32);
}

/// Entries with a deadline each. The earliest is known at once; every change takes logarithmic time.
#[derive(Debug)]
pub(crate) struct Deadlines<E> {
    heap: Vec<(Micros, E)>,
}

impl<E> Default for Deadlines<E> {
    fn default() -> Self {
        Deadlines { heap: Vec::new() }
    }
}

impl<E: Entry> Deadlines<E> {
    /// Returns the earliest deadline, and its entry.
    #[inline]
    pub fn first(&self) -> Option<(Micros, &E)> {
        self.heap.first().map(|(deadline, entry)| (*deadline, entry))
    }

    /// Adds an entry that is in no heap.
    pub fn insert(&mut self, deadline: Micros, entry: E) {
        self.take_memory();
        self.heap.push((deadline, entry));
        self.rise(self.heap.len() - 1);
    }

    /// Removes the entry at this place, and returns it if there is one.
    pub fn remove(&mut self, place: u32) -> Option<E> {
        let place = place as usize;
        if place >= self.heap.len() {
            return None;
        }
        let (_, entry) = self.heap.swap_remove(place);
        entry.set_place(NOWHERE);
        if place < self.heap.len() {
            self.settle(place);
        }
        self.give_memory_back();
        Some(entry)
    }

    /// Gives the entry at this place another deadline.
    pub fn reschedule(&mut self, place: u32, deadline: Micros) {
        let place = place as usize;
        if let Some(slot) = self.heap.get_mut(place) {
            slot.0 = deadline;
            self.settle(place);
        }
    }

    /// Returns all entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.heap.iter().map(|(_, entry)| entry)
    }

    /// Removes all entries for which `keep` returns `false`.
    pub fn retain(&mut self, mut keep: impl FnMut(&E) -> bool) {
        self.heap.retain(|(_, entry)| {
            let stays = keep(entry);
            if !stays {
                entry.set_place(NOWHERE);
            }
            stays
        });
        self.give_memory_back();
        for place in (0..self.heap.len()).rev() {
            self.sink(place);
        }
    }

    fn settle(&mut self, place: usize) {
        if self.rise(place) == place {
            self.sink(place);
        }
    }

    /// Moves an entry up to the place for its deadline, and returns that place.
    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            if self.heap[parent].0 <= self.heap[place].0 {
                break;
            }
            self.heap.swap(parent, place);
            self.tell(place);
            place = parent;
        }
        self.tell(place);
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let first = place * CHILDREN + 1;
            let children = first..(first + CHILDREN).min(self.heap.len());
            let Some(least) = children.min_by_key(|&child| self.heap[child].0) else {
                break;
            };
            if self.heap[place].0 <= self.heap[least].0 {
                break;
            }
            self.heap.swap(place, least);
            self.tell(place);
            place = least;
        }
        self.tell(place);
    }

    fn tell(&self, place: usize) {
        // 2^32 - 1 locks would need half a terabyte, so they are never reached.
        self.heap[place].1.set_place(place as u32);
    }

    /// Grows by a quarter at a time: doubling would leave half of it idle, 16 bytes for each lock.
    fn take_memory(&mut self) {
        if self.heap.len() == self.heap.capacity() {
            self.heap.reserve_exact((self.heap.len() / 4).max(64));
        }
    }

    /// Shrinks after a peak in the number of locks.
    fn give_memory_back(&mut self) {
        if self.heap.capacity() > 1024 && self.heap.len() < self.heap.capacity() / 4 {
            self.heap.shrink_to(self.heap.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[derive(Debug)]
    struct Item(Cell<u32>);

    impl Entry for Rc<Item> {
        fn set_place(&self, place: u32) {
            self.0.set(place);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(i64),
        Remove(usize),
        Reschedule(usize, i64),
        RetainEven,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (-50..50i64).prop_map(Step::Insert),
            2 => any::<usize>().prop_map(Step::Remove),
            2 => (any::<usize>(), -50..50i64).prop_map(|(i, d)| Step::Reschedule(i, d)),
            1 => Just(Step::RetainEven),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_list(steps in prop::collection::vec(step(), 1..300)) {
            let mut heap = Deadlines::default();
            let mut list: Vec<(i64, Rc<Item>)> = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(deadline) => {
                        let item = Rc::new(Item(Cell::new(NOWHERE)));
                        heap.insert(deadline, item.clone());
                        list.push((deadline, item));
                    }
                    Step::Remove(i) if !list.is_empty() => {
                        let (_, item) = list.swap_remove(i % list.len());
                        let removed = heap.remove(item.0.get()).expect("is there");
                        prop_assert!(Rc::ptr_eq(&removed, &item));
                        prop_assert_eq!(item.0.get(), NOWHERE);
                        prop_assert!(heap.remove(item.0.get()).is_none());
                    }
                    Step::Reschedule(i, deadline) if !list.is_empty() => {
                        let i = i % list.len();
                        list[i].0 = deadline;
                        heap.reschedule(list[i].1.0.get(), deadline);
                    }
                    Step::RetainEven => {
                        let kept: Vec<_> = list.iter().filter(|(d, _)| d % 2 == 0).map(|(_, e)| Rc::as_ptr(e)).collect();
                        heap.retain(|entry| kept.contains(&Rc::as_ptr(entry)));
                        list.retain(|(d, _)| d % 2 == 0);
                    }
                    _ => {}
                }
                prop_assert_eq!(heap.heap.len(), list.len());
                // There is no entry.
                heap.reschedule(list.len() as u32, -100);
                prop_assert!(heap.remove(list.len() as u32).is_none());
                prop_assert_eq!(heap.first().map(|(d, _)| d), list.iter().map(|(d, _)| *d).min());
                for (deadline, item) in &list {
                    let (at, entry) = &heap.heap[item.0.get() as usize];
                    prop_assert!(Rc::ptr_eq(entry, item));
                    prop_assert_eq!(at, deadline);
                }
            }
        }
    }

    #[test]
    fn a_rush_leaves_no_memory_behind() {
        let mut heap = Deadlines::default();
        let items: Vec<_> = (0..100_000).map(|_| Rc::new(Item(Cell::new(NOWHERE)))).collect();
        for (i, item) in items.iter().enumerate() {
            heap.insert(i as i64, item.clone());
        }
        let full = heap.heap.capacity();
        for item in &items {
            heap.remove(item.0.get());
        }
        assert!(heap.heap.is_empty());
        assert!(heap.heap.capacity() * 16 < full, "{} of {full} entries are left", heap.heap.capacity());
    }
}
