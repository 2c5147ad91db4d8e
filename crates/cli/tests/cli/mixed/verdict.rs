//! What is wrong with a record.

use super::record::{Outage, Record, Trouble, Turn};

const MS: u64 = 1_000_000;
/// Whoever began earlier by more than this is to be served earlier: it takes a process to start, a connection to be made,
/// and a question that does not wait, until a request stands in line, and that on a busy machine. (From there on the order
/// is seen exactly, by `line.rs`.)
const SLACK: u64 = 500 * MS;
/// How long after a restart what happens may be due to it: clients connect again in their own time.
const SETTLE: u64 = 1_000 * MS;
/// The least that a worker must have, as a part of an equal share. (`redis-lock run` is a new process for each turn.)
const MIN_SHARE: f64 = 0.2;
/// What a server that comes back does not lead to, whatever happens meanwhile.
const NEVER: [&str; 3] = ["LockHeld", "LockConfig", "Deadlock"];

/// Everything that must not be.
pub fn objections(record: &Record) -> Vec<String> {
    let turns = in_order(record);
    [
        overlaps(&turns),
        inversions(&turns),
        overtaken(&turns, &record.outages),
        starved(record),
        unexplained(record),
    ]
    .concat()
}

/// By how much the one who was overtaken worst had begun earlier, where no outage explains it.
pub fn closest_to_overtaking(record: &Record) -> u64 {
    overtakings(&in_order(record), &record.outages, 0)
        .into_iter()
        .map(|(first, then)| then.began - first.began)
        .max()
        .unwrap_or(0)
}

fn in_order(record: &Record) -> Vec<&Turn> {
    let mut turns: Vec<&Turn> = record.turns.iter().collect();
    turns.sort_by_key(|turn| turn.entered);
    turns
}

fn overlaps(turns: &[&Turn]) -> Vec<String> {
    let mut objections = Vec::new();
    let Some(mut last) = turns.first() else { return objections };
    for turn in &turns[1..] {
        if turn.entered < last.left {
            objections.push(format!("two at once: {last:?} and {turn:?}"));
        }
        if turn.left > last.left {
            last = turn;
        }
    }
    objections
}

fn inversions(turns: &[&Turn]) -> Vec<String> {
    let falls = |pair: &&[&Turn]| pair[1].token <= pair[0].token;
    turns
        .windows(2)
        .filter(falls)
        .map(|pair| format!("a token that does not rise: {:?}, then {:?}", pair[0], pair[1]))
        .collect()
}

fn overtaken(turns: &[&Turn], outages: &[Outage]) -> Vec<String> {
    let overtakings = overtakings(turns, outages, SLACK).into_iter();
    overtakings.map(|(first, then)| format!("{then:?} was served before {first:?}")).collect()
}

/// Pairs of which the first began earlier, by more than the slack, and was served later: a place in line is kept while the
/// server lives.
fn overtakings<'a>(turns: &[&'a Turn], outages: &[Outage], slack: u64) -> Vec<(&'a Turn, &'a Turn)> {
    let mut overtakings = Vec::new();
    for (place, first) in turns.iter().enumerate() {
        let before = turns[..place].iter().rev().take_while(|then| then.entered > first.began + slack);
        let later = before.filter(|then| then.began > first.began + slack);
        overtakings.extend(
            later.filter(|then| !is_within(outages, first.began, then.entered)).map(|then| (*first, *then)),
        );
    }
    overtakings
}

fn starved(record: &Record) -> Vec<String> {
    let least = record.turns.len() as f64 / record.workers.len() as f64 * MIN_SHARE;
    let share = |who: &String| record.turns.iter().filter(|turn| turn.who == *who).count();
    let shares = record.workers.iter().map(|who| (who, share(who)));
    let starved = shares.filter(|(_, share)| (*share as f64) < least);
    starved.map(|(who, share)| format!("{who} had {share} turns, less than {least:.0}")).collect()
}

fn unexplained(record: &Record) -> Vec<String> {
    let never = |trouble: &Trouble| NEVER.iter().any(|name| trouble.error.starts_with(name));
    let explained =
        |trouble: &&Trouble| !never(trouble) && is_within(&record.outages, trouble.began, trouble.ended);
    record
        .troubles
        .iter()
        .filter(|trouble| !explained(trouble))
        .map(|trouble| format!("{trouble:?}"))
        .collect()
}

/// Whether the server was down, or has just come back, at some moment between these.
fn is_within(outages: &[Outage], from: u64, to: u64) -> bool {
    let next = outages.partition_point(|outage| outage.up + SETTLE < from);
    outages.get(next).is_some_and(|outage| outage.down <= to)
}

/// Two workers that take turns of 2 ms, each begun when the one before was over.
#[cfg(test)]
fn faultless() -> Record {
    let workers = ["node-1", "run-1"].map(String::from).to_vec();
    let turn = |number: usize| {
        let entered = (10_000 + number as u64 * 10) * MS;
        let who = workers[number % 2].clone();
        Turn { who, began: entered - 8 * MS, entered, left: entered + 2 * MS, token: 100 + number as u64 }
    };
    let turns = (0..300).map(turn).collect();
    Record { workers, turns, ..Record::default() }
}

#[test]
fn what_is_wrong_is_told() {
    assert_eq!(objections(&faultless()), [""; 0]);
    type Break = fn(&mut Record);
    let breaks: [(&str, Break); 9] = [
        ("two at once", |record| record.turns[7].left += 9 * MS),
        // Also if somebody came and went in between.
        ("two at once", |record| record.turns[7].left += 15 * MS),
        ("does not rise", |record| record.turns[7].token += 1),
        ("does not rise", |record| {
            let token = record.turns[8].token;
            record.turns[8].token = std::mem::replace(&mut record.turns[7].token, token);
        }),
        ("was served before", |record| record.turns[200].began -= 600 * MS),
        ("run-1 had 0 turns", |record| record.turns.iter_mut().for_each(|turn| turn.who = "node-1".into())),
        ("LockLost: no outage", |record| record.troubles.push(trouble("LockLost: no outage", 12_000))),
        ("LockLost: after it", |record| {
            record.outages.push(Outage { down: 10_100 * MS, up: 10_200 * MS });
            record.troubles.push(trouble("LockLost: after it", 11_300));
        }),
        ("LockConfig: never", |record| {
            record.outages.push(Outage { down: 12_000 * MS, up: 12_100 * MS });
            record.troubles.push(trouble("LockConfig: never", 12_000));
        }),
    ];
    for (words, wrong) in breaks {
        let mut record = faultless();
        wrong(&mut record);
        let objections = objections(&record);
        assert!(objections.iter().any(|objection| objection.contains(words)), "{words}: {objections:?}");
    }
}

#[test]
fn what_an_outage_explains_is_no_objection() {
    let mut record = faultless();
    record.turns[200].began -= 600 * MS;
    record.outages.push(Outage { down: 11_700 * MS, up: 11_800 * MS });
    record.troubles.push(trouble("LockUnavailable: down", 11_750));
    record.troubles.push(trouble("LockLost: soon after", 12_500));
    assert_eq!(objections(&record), [""; 0]);
}

#[cfg(test)]
fn trouble(error: &str, ms: u64) -> Trouble {
    Trouble { who: "node-1".into(), began: ms * MS, ended: (ms + 20) * MS, error: error.into() }
}
