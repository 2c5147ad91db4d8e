//! Claim 1, checked: the token agreement, with the very code that clients and servers run, against everything
//! that networks and nodes may do. And that simpler agreements fail in the same model, so that it can fail.

mod naive;
mod network;
mod node;
mod symmetry;
mod walks;
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

/// Each thing that can go wrong, once and several times in one history.
const STORMS: [Faults; 3] = [
    CALM,
    Faults { repeats: 1, others: 1, behind: 1, timeouts: 1, restarts: 1, rejoins: 1 },
    Faults { repeats: 3, others: 2, behind: 2, timeouts: 3, restarts: 2, rejoins: 2 },
];

const FOUR: [[Kind; 4]; 4] = [
    [Exclusive; 4],
    [Exclusive, Shared, Shared, Exclusive],
    [Limit(2); 4],
    [Exclusive, Limit(2), Limit(3), Exclusive],
];

/// Four attempts on five nodes.
fn large_world(kinds: [Kind; 4], faults: Faults, rule: Rule) -> World<5, 4> {
    World { kinds, spread: 2, faults, rule }
}

/// So many histories at random of each mixture.
fn walk(histories: u64) {
    let seed = std::env::var("REDIS_LOCK_SEED").map_or(1, |seed| seed.parse().expect("a seed is a number"));
    for kinds in FOUR {
        for faults in STORMS {
            let (start, world) = (Instant::now(), large_world(kinds, faults, Rule::Agreement));
            let walks = walks::walk(&world, histories, seed);
            let walks = walks.unwrap_or_else(|broken| panic!("REDIS_LOCK_SEED={seed}: {broken}"));
            println!("{kinds:?} {faults:?}: {walks:?}, {:.1} s", start.elapsed().as_secs_f64());
            // Where fewer than two agree there is nothing to compare.
            let compared: u64 = walks.by_agreed[1..].iter().sum();
            assert!(compared > histories / 50, "{walks:?}");
        }
    }
}

#[test]
fn five_nodes_and_four_attempts_at_random() {
    walk(10_000);
}

#[test]
#[ignore = "long: run with --ignored"]
fn five_nodes_and_four_attempts_for_long() {
    walk(2_000_000);
}

#[test]
fn the_walks_find_what_is_wrong() {
    for rule in [Rule::PlainMaximum, Rule::RaiseWithoutHold, Rule::AnyAnswerAbove, Rule::ForgetCounter] {
        let world = large_world([Exclusive; 4], STORMS[1], rule);
        let broken = walks::walk(&world, 100_000, 1).expect_err("this rule is wrong");
        println!("{rule:?} {broken}");
    }
}
