//! The rules as tables: the answers of nodes, and the outcome.

use super::Answer::*;
use super::*;

/// Begins an attempt with proposal 10 on `nodes` nodes.
fn begin(nodes: usize, kind: Kind) -> Agreement {
    Agreement::begin(nodes, kind, 10).0
}

fn acquire(node: usize, fence: Option<u64>) -> Message {
    Message { node, request: Request::Acquire { fence } }
}

fn extend(node: usize, fence: u64) -> Message {
    Message { node, request: Request::Extend { fence } }
}

/// Gives answers one after the other, and returns the messages that follow the last one.
fn feed(agreement: &mut Agreement, answers: &[(usize, Answer)]) -> Vec<Message> {
    let mut last = Vec::new();
    for (node, answer) in answers {
        last = agreement.answer(*node, *answer);
    }
    last
}

const KINDS: [Kind; 5] = [Kind::Exclusive, Kind::Shared, Kind::Limit(2), Kind::Limit(3), Kind::Limit(10)];

/// Returns all combinations of three answers that this number of nodes can give.
fn combinations(nodes: usize) -> impl Iterator<Item = Vec<Answer>> {
    (0..3usize.pow(nodes as u32)).map(move |number| {
        (0..nodes).map(|node| [Granted(10), Held, Failed][number / 3usize.pow(node as u32) % 3]).collect()
    })
}

#[test]
fn every_combination_of_yes_held_and_failed() {
    for nodes in 1..=7 {
        for kind in KINDS {
            for answers in combinations(nodes) {
                let mut agreement = begin(nodes, kind);
                let count = |wanted: Answer| answers.iter().filter(|answer| **answer == wanted).count();
                let (mut yes, mut no) = (0, 0);
                for (node, answer) in answers.iter().enumerate() {
                    assert_eq!(agreement.answer(node, *answer), [], "one round trip is enough");
                    match answer {
                        Granted(_) => yes += 1,
                        _ => no += 1,
                    }
                    let needed = kind.needed(nodes);
                    let expected = match agreement.outcome() {
                        // An earlier answer has decided this already, and can't have been wrong.
                        _ if yes >= needed => Outcome::Agreed(10),
                        _ if no > nodes - needed => Outcome::Failed,
                        _ => Outcome::Open,
                    };
                    assert_eq!(agreement.outcome(), expected, "{kind:?} {answers:?} at {node}");
                }
                assert_ne!(agreement.outcome(), Outcome::Open, "{kind:?} {answers:?}");
                assert_eq!(agreement.is_held(), count(Held) > nodes - kind.needed(nodes));
            }
        }
    }
}

#[test]
fn all_nodes_are_asked_with_the_proposal() {
    let (_, messages) = Agreement::begin(3, Kind::Exclusive, 7);
    assert_eq!(messages, [acquire(0, Some(7)), acquire(1, Some(7)), acquire(2, Some(7))]);
}

#[test]
fn an_even_split_fails_at_once() {
    for nodes in [2, 4, 6] {
        let mut agreement = begin(nodes, Kind::Exclusive);
        for node in 0..nodes / 2 {
            agreement.answer(node, Held);
        }
        assert_eq!(agreement.outcome(), Outcome::Failed, "{nodes}");
        assert!(agreement.is_held());
    }
}

#[test]
fn held_and_failed_together_are_not_held() {
    let mut agreement = begin(3, Kind::Exclusive);
    feed(&mut agreement, &[(0, Failed), (1, Held)]);
    assert_eq!(agreement.outcome(), Outcome::Failed);
    assert!(!agreement.is_held(), "with node 0 up it might be granted");
    agreement.answer(2, Held);
    assert!(agreement.is_held(), "a later answer tells more");
}

#[test]
fn different_tokens_need_a_second_round() {
    let mut agreement = begin(3, Kind::Exclusive);
    assert_eq!(feed(&mut agreement, &[(0, Granted(12)), (1, Granted(15))]), [extend(0, 15)]);
    assert_eq!(agreement.outcome(), Outcome::Open, "node 0 has not confirmed");
    agreement.answer(0, Extended(15));
    assert_eq!(agreement.outcome(), Outcome::Agreed(15));
}

#[test]
fn only_exactly_t_confirms() {
    let mut agreement = begin(3, Kind::Exclusive);
    feed(&mut agreement, &[(0, Granted(12)), (1, Granted(15))]);
    assert_eq!(agreement.answer(0, Extended(17)), [extend(1, 17)], "17 is the lowest that both can hold");
    assert_eq!(agreement.outcome(), Outcome::Open);
    agreement.answer(1, Extended(17));
    assert_eq!(agreement.outcome(), Outcome::Agreed(17));
}

#[test]
fn a_late_grant_can_lower_t_again() {
    let mut agreement = begin(5, Kind::Exclusive);
    assert_eq!(feed(&mut agreement, &[(0, Granted(10)), (1, Granted(20)), (2, Granted(90))]).len(), 2);
    assert_eq!(agreement.answer(3, Granted(10)), [extend(0, 20), extend(3, 20)]);
    feed(&mut agreement, &[(0, Extended(90)), (1, Extended(90))]);
    assert_eq!(agreement.outcome(), Outcome::Agreed(90), "the raise to 90 was on its way and is as good");
}

#[test]
fn a_node_that_runs_ahead_does_no_harm() {
    let mut agreement = begin(3, Kind::Exclusive);
    feed(&mut agreement, &[(0, Granted(3_600_000_000)), (1, Granted(10)), (2, Granted(10))]);
    assert_eq!(agreement.outcome(), Outcome::Agreed(10));
}

#[test]
fn too_far_ahead_is_asked_again_without_fence_once() {
    let mut agreement = begin(3, Kind::Exclusive);
    assert_eq!(agreement.answer(0, AcquireTooFarAhead), [acquire(0, None)]);
    assert_eq!(agreement.answer(0, AcquireTooFarAhead), [], "a duplicate");
    assert_eq!(feed(&mut agreement, &[(0, Granted(5)), (1, Granted(10))]), [extend(0, 10)]);
    assert_eq!(agreement.answer(0, ExtendTooFarAhead(10)), [], "node 2 is still to answer");
    assert_eq!(agreement.outcome(), Outcome::Open);
    agreement.answer(2, Granted(10));
    assert_eq!(agreement.outcome(), Outcome::Agreed(10));
}

#[test]
fn a_node_that_finds_the_proposal_too_far_ahead_is_asked_without_it_also_once_it_is_agreed() {
    let mut agreement = begin(3, Kind::Exclusive);
    feed(&mut agreement, &[(1, Granted(10)), (2, Granted(10))]);
    assert_eq!(agreement.outcome(), Outcome::Agreed(10));
    assert_eq!(agreement.answer(0, AcquireTooFarAhead), [acquire(0, None)], "its no may be decisive");
    assert_eq!(agreement.answer(0, Held), []);
    assert_eq!((agreement.outcome(), agreement.nodes()[0]), (Outcome::Agreed(10), KeyStatus::Held));
    let mut agreement = begin(3, Kind::Exclusive);
    feed(&mut agreement, &[(1, Held), (2, Held)]);
    assert_eq!(agreement.answer(0, AcquireTooFarAhead), [], "nothing helps any more");
}

#[test]
fn a_refused_t_leaves_lower_ones() {
    let mut agreement = begin(3, Kind::Exclusive);
    assert_eq!(feed(&mut agreement, &[(0, Granted(5)), (1, Granted(90))]), [extend(0, 90)]);
    agreement.answer(0, ExtendTooFarAhead(90));
    assert_eq!(agreement.answer(2, Granted(8)), [extend(0, 8)]);
    agreement.answer(0, Extended(8));
    assert_eq!(agreement.outcome(), Outcome::Agreed(8));
}

#[test]
fn without_any_t_the_attempt_fails() {
    let mut agreement = begin(2, Kind::Exclusive);
    feed(&mut agreement, &[(0, Granted(5)), (1, Granted(90)), (0, ExtendTooFarAhead(90))]);
    assert_eq!(agreement.outcome(), Outcome::Failed);
    assert!(!agreement.is_held());
}

#[test]
fn a_hold_lost_before_it_was_confirmed_is_out() {
    let mut agreement = begin(3, Kind::Exclusive);
    feed(&mut agreement, &[(0, Granted(12)), (1, Granted(15)), (0, Gone)]);
    assert_eq!(agreement.outcome(), Outcome::Open);
    assert_eq!(agreement.answer(2, Granted(15)), []);
    assert_eq!(agreement.outcome(), Outcome::Agreed(15));
}

#[test]
fn duplicates_and_overtaken_answers_change_nothing() {
    let mut agreement = begin(3, Kind::Exclusive);
    feed(&mut agreement, &[(0, Granted(12)), (0, Granted(12)), (1, Granted(15))]);
    assert_eq!(feed(&mut agreement, &[(1, Granted(15)), (0, Granted(12))]), [], "asked once only");
    assert_eq!(agreement.outcome(), Outcome::Open);
    feed(&mut agreement, &[(0, Extended(20)), (0, Extended(15)), (0, Granted(12))]);
    assert_eq!(agreement.nodes()[0].token(), Some(20), "a token never falls");
}

#[test]
fn a_yes_after_the_time_limit_still_counts_while_the_attempt_is_open() {
    let mut agreement = begin(3, Kind::Exclusive);
    feed(&mut agreement, &[(0, Failed), (1, Granted(10)), (0, Granted(10))]);
    assert_eq!(agreement.outcome(), Outcome::Agreed(10));
}

#[test]
fn an_outcome_stays() {
    let mut agreement = begin(3, Kind::Exclusive);
    feed(&mut agreement, &[(0, Failed), (1, Failed)]);
    assert_eq!(feed(&mut agreement, &[(0, Granted(10)), (1, Granted(11)), (2, Granted(12))]), []);
    assert_eq!(agreement.outcome(), Outcome::Failed);
    let mut agreement = begin(1, Kind::Exclusive);
    feed(&mut agreement, &[(0, Granted(10)), (0, Failed)]);
    assert_eq!(agreement.outcome(), Outcome::Agreed(10));
    assert_eq!(agreement.nodes()[0], KeyStatus::Failed, "but what is known goes on");
}
