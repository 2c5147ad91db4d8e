//! The index of deadlines as its users see it: what was taken out knows that it stands nowhere.

use std::cell::Cell;
use std::rc::Rc;

use redis_lock_engine::{Deadlines, Entry, NOWHERE};

#[derive(Clone, Debug)]
struct Item(Rc<Cell<u32>>, i64);

impl Entry for Item {
    fn set_place(&self, place: u32) {
        self.0.set(place);
    }
}

impl Item {
    fn is_in(&self) -> bool {
        self.0.get() != NOWHERE
    }
}

/// Items with the deadlines 0, 1, 2, …, put in from both ends.
fn filled(count: i64) -> (Deadlines<Item>, Vec<Item>) {
    let mut index = Deadlines::default();
    let items: Vec<Item> = (0..count).map(|n| Item(Rc::new(Cell::new(NOWHERE)), n)).collect();
    for n in 0..items.len() {
        let item = if n % 2 == 0 { &items[n / 2] } else { &items[items.len() - 1 - n / 2] };
        index.insert(item.1, item.clone());
    }
    (index, items)
}

fn deadlines(index: &Deadlines<Item>) -> Vec<i64> {
    let mut all: Vec<i64> = index.iter().map(|item| item.1).collect();
    all.sort_unstable();
    all
}

#[test]
fn what_is_not_kept_stands_nowhere() {
    let (mut index, items) = filled(100);
    assert!(items.iter().all(Item::is_in));
    index.retain(|item| item.1 % 3 == 0);
    assert!(items.iter().all(|item| item.is_in() == (item.1 % 3 == 0)));
    assert_eq!(deadlines(&index), (0..100).step_by(3).collect::<Vec<_>>());
    assert_eq!((index.len(), index.is_empty()), (34, false));
    index.retain(|_| false);
    assert!(index.is_empty() && index.first().is_none() && !items.iter().any(Item::is_in));
}

#[test]
fn comes_out_in_order() {
    let (mut index, items) = filled(1_000);
    for expected in 0..1_000 {
        let (deadline, place) =
            index.first().map(|(deadline, item)| (deadline, item.0.get())).expect("not empty");
        assert_eq!((deadline, place), (expected, 0));
        assert_eq!(index.remove(place).map(|item| item.1), Some(expected));
    }
    assert!(index.is_empty() && !items.iter().any(Item::is_in));
}

#[test]
fn a_place_where_nothing_stands_is_left_alone() {
    let (mut index, _items) = filled(3);
    for place in [3, 4, NOWHERE] {
        assert!(index.remove(place).is_none());
        index.reschedule(place, -1);
    }
    assert_eq!((index.len(), index.first().map(|(deadline, _)| deadline)), (3, Some(0)));
}
