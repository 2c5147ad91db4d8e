use super::*;

/// A view of three nodes, of which these are reachable. Node 2 ranks best, then 0, then 1.
fn view<'a>(reachable: &'a dyn Fn(usize) -> bool, found_held: bool) -> View<'a> {
    View { reachable, may_wait: true, found_held }
}

fn order() -> Order {
    Order::new(vec![2, 0, 1])
}

const ALL: &dyn Fn(usize) -> bool = &|_| true;
const NOT_2: &dyn Fn(usize) -> bool = &|node| node != 2;
const NONE: &dyn Fn(usize) -> bool = &|_| false;

#[test]
fn the_rank_depends_on_resource_and_addresses_only() {
    let nodes = ["a:6379", "b:6379", "c:6379"];
    let ranked = rank("report", nodes);
    let names: Vec<&str> = ranked.iter().map(|node| nodes[*node]).collect();
    let mut turned = nodes;
    turned.rotate_left(1);
    let also: Vec<&str> = rank("report", turned).iter().map(|node| turned[*node]).collect();
    assert_eq!(names, also, "the order in which they are listed is no matter");
    // Clients in other languages must rank them the same.
    assert_eq!(names, ["b:6379", "a:6379", "c:6379"]);
    let mut first = [0; 3];
    (0..3_000).for_each(|number| first[rank(&format!("key:{number}"), nodes)[0]] += 1);
    assert!(first.iter().all(|count| (900..1_100).contains(count)), "{first:?}");
}

#[test]
fn the_first_attempt_asks_the_lines_node_for_both() {
    let asks = |line, first| Step::Attempt(Route { line, first });
    assert_eq!(order().begin(view(ALL, false)), asks(Some(2), None));
    assert_eq!(order().begin(view(NOT_2, false)), asks(Some(0), None));
    assert_eq!(order().begin(view(NONE, false)), asks(None, None));
    assert_eq!(order().begin(view(ALL, true)), Step::Join(2), "it was held: straight into line");
    let hurried = View { may_wait: false, ..view(ALL, true) };
    assert_eq!(order().begin(hurried), asks(Some(2), Some(2)), "it was held: this one first");
    assert_eq!(Order::new(Vec::new()).begin(view(ALL, true)), asks(None, None), "several resources");
}

#[test]
fn a_single_node_keeps_the_order_of_the_resource_itself() {
    let mut order = Order::new(vec![0]);
    assert_eq!(order.begin(view(ALL, true)), Step::Attempt(Route::default()));
    assert_eq!(order.attempted(vec![0], true, view(ALL, true)), Step::Join(0));
    assert_eq!(order.waited(0, Waited::Lost, view(ALL, true)), Step::Retry);
}

#[test]
fn who_is_refused_waits_if_there_is_time_and_somebody_holds_it() {
    assert_eq!(order().attempted(vec![1], true, view(ALL, true)), Step::Join(2));
    assert_eq!(order().attempted(vec![], true, view(ALL, false)), Step::Retry, "nodes failed");
    let hurried = View { may_wait: false, ..view(ALL, true) };
    assert_eq!(order().attempted(vec![1], true, hurried), Step::Retry);
    assert_eq!(order().attempted(vec![1], true, view(NONE, true)), Step::Retry);
}

#[test]
fn its_turn() {
    let mut order = order();
    let granted = order.waited(2, Waited::Granted, view(ALL, true));
    assert_eq!(granted, Step::Attempt(Route::default()), "all nodes at once");
    let failed = order.attempted(vec![0, 1], true, view(ALL, true));
    assert_eq!(failed, Step::Turn { failures: 1 });
    let first = |node| Step::Attempt(Route { line: None, first: Some(node) });
    assert_eq!(order.paused(true, view(ALL, true)), first(1), "no votes while that one says no");
    order.attempted(vec![1], true, view(ALL, true));
    assert_eq!(order.paused(true, view(ALL, true)), first(0), "one may have a hold that nobody owns");
    order.attempted(vec![0], true, view(ALL, true));
    assert_eq!(order.paused(true, view(ALL, true)), first(1));
    assert_eq!(order.attempted(vec![], true, view(ALL, true)), Step::Turn { failures: 4 });
    assert_eq!(order.paused(true, view(ALL, true)), Step::Attempt(Route::default()));
    order.attempted(vec![0], true, view(ALL, true));
    assert_eq!(order.paused(false, view(NOT_2, true)), Step::Join(0), "the line's lock is gone");
}

#[test]
fn a_lost_line_is_left_for_the_next_and_two_become_one_again() {
    let mut order = order();
    assert_eq!(order.waited(2, Waited::Lost, view(NOT_2, true)), Step::Join(0));
    assert_eq!(order.waited(0, Waited::Granted, view(NOT_2, true)), Step::Attempt(Route::default()));
    order.attempted(vec![1], true, view(NOT_2, true));
    assert_eq!(order.paused(true, view(ALL, true)), Step::Join(2));
    assert_eq!(order.waited(2, Waited::Lost, view(NONE, true)), Step::Retry);
    assert_eq!(order.waited(2, Waited::SentAway, view(ALL, true)), Step::Retry);
}

#[test]
fn without_permission_it_goes_on_as_if_there_were_no_line() {
    for refused in [true, false] {
        let mut order = order();
        let next = match refused {
            true => order.attempted(vec![1], false, view(ALL, true)),
            false => order.waited(2, Waited::NotAllowed, view(ALL, true)),
        };
        assert_eq!(next, Step::Retry);
        assert_eq!(order.begin(view(ALL, true)), Step::Attempt(Route::default()));
        assert_eq!(order.attempted(vec![1], true, view(ALL, true)), Step::Retry);
    }
}
