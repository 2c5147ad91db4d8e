//! Claim 1, checked: the token agreement, with the very code that clients and servers run, against everything
//! that networks and nodes may do. And that simpler agreements fail in the same model, so that it can fail.
//! (Histories at random, with more nodes and callers: the simulator.)

mod naive;
mod network;
mod node;
mod symmetry;
mod world;

use naive::Rule;
use redis_lock_quorum::Kind::{self, Exclusive, Limit, Shared};
use stateright::{Checker, HasDiscoveries, Model};
use std::time::Instant;
use world::{DIFFER, Faults, RISE, World};

const THREADS: usize = 2;
/// No faults but those that are always there: any order, any loss, expiry at any moment.
const CALM: Faults = Faults { repeats: 0, others: 0, behind: 0, timeouts: 0, restarts: 0, rejoins: 0 };

/// Attempts to take one lock on three nodes, whose counters begin up to `spread` apart.
fn world<const A: usize>(kinds: [Kind; A], spread: u8, faults: Faults) -> World<3, A> {
    World { kinds, spread, faults, rule: Rule::Agreement }
}

/// Goes through all states; no property may be broken, and no goal out of reach.
#[track_caller]
fn check<const A: usize>(world: World<3, A>) {
    let (start, about) = (Instant::now(), format!("{:?} {} {:?}", world.kinds, world.spread, world.faults));
    let checker = world.checker().threads(THREADS).spawn_bfs().join();
    println!(
        "{about}: {} states, {} steps, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        start.elapsed().as_secs_f64()
    );
    checker.assert_properties();
}

/// The model must find that this rule breaks this property.
#[track_caller]
fn fails(rule: Rule, faults: Faults, property: &'static str) {
    let world = World { rule, ..world([Exclusive, Exclusive], 2, faults) };
    let found = HasDiscoveries::AnyOf([property].into());
    let checker = world.checker().threads(THREADS).finish_when(found).spawn_bfs().join();
    let Some(path) = checker.discovery(property) else { panic!("{rule:?} does not break: {property}") };
    println!("{rule:?} found broken after {} states:", checker.unique_state_count());
    path.into_actions().iter().for_each(|action| println!("  {action:?}"));
}

#[test]
fn two_that_exclude_each_other() {
    check(world([Exclusive, Exclusive], 2, CALM));
}

#[test]
fn a_request_arrives_twice() {
    check(world([Exclusive, Exclusive], 1, Faults { repeats: 1, ..CALM }));
}

#[test]
fn a_counter_runs_ahead() {
    check(world([Exclusive, Exclusive], 2, Faults { others: 1, ..CALM }));
}

#[test]
fn a_clock_is_behind() {
    check(world([Exclusive, Exclusive], 2, Faults { behind: 1, ..CALM }));
}

#[test]
fn a_node_is_given_up_and_answers_late() {
    check(world([Exclusive, Exclusive], 1, Faults { timeouts: 1, ..CALM }));
}

#[test]
fn a_node_forgets_and_sits_out() {
    check(world([Exclusive, Exclusive], 1, Faults { restarts: 1, ..CALM }));
}

#[test]
fn a_node_is_joined_again() {
    check(world([Exclusive, Exclusive], 2, Faults { rejoins: 1, ..CALM }));
}

#[test]
fn other_kinds() {
    for kinds in [[Exclusive, Shared], [Shared, Shared], [Limit(2), Limit(2)], [Exclusive, Limit(2)]] {
        check(world(kinds, 1, CALM));
    }
}

/// The combinations that take minutes each.
#[test]
#[ignore = "long: run with --ignored"]
fn several_faults_at_once() {
    let two = [Exclusive, Exclusive];
    check(world(two, 2, Faults { repeats: 1, ..CALM }));
    check(world(two, 2, Faults { others: 1, behind: 1, ..CALM }));
    check(world(two, 1, Faults { behind: 2, restarts: 1, ..CALM }));
    check(world(two, 1, Faults { repeats: 1, rejoins: 1, ..CALM }));
    check(world(two, 1, Faults { repeats: 1, behind: 1, ..CALM }));
}

#[test]
fn the_plain_maximum_fails() {
    fails(Rule::PlainMaximum, CALM, DIFFER);
    fails(Rule::PlainMaximum, CALM, RISE);
}

#[test]
fn raising_without_a_live_hold_fails() {
    fails(Rule::RaiseWithoutHold, CALM, DIFFER);
}

#[test]
fn any_answer_above_fails() {
    fails(Rule::AnyAnswerAbove, CALM, DIFFER);
}

#[test]
fn a_node_that_forgets_its_counter_fails() {
    fails(Rule::ForgetCounter, Faults { restarts: 1, ..CALM }, RISE);
}
