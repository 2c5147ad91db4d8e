//! The properties of a recorded history. Pure.

use crate::history::{Operation, Violation};
use redis_lock_quorum::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// Returns all violations in these operations. If not `timed`, no assumption on time holds.
pub fn check(operations: &[Operation], timed: bool) -> Vec<Violation> {
    let mut of_resource: BTreeMap<&str, Vec<(usize, &Operation)>> = BTreeMap::new();
    for (number, operation) in operations.iter().enumerate() {
        for resource in &operation.resources {
            of_resource.entry(resource).or_default().push((number, operation));
        }
    }
    let mut violations = Vec::new();
    for (resource, operations) in of_resource {
        let mut found = Vec::new();
        if timed {
            exclusion(&operations, &mut found);
            order_of_intervals(&operations, &mut found);
        }
        order_of_tokens(&operations, &mut found);
        repeated_tokens(&operations, &mut found);
        let here = |(at, what)| Violation { at, resource: resource.into(), what };
        violations.extend(found.into_iter().map(here));
    }
    violations
        .extend(operations.iter().enumerate().filter_map(|(number, operation)| told(number, operation)));
    violations
}

type Numbered<'a> = [(usize, &'a Operation)];
/// The time and the text of each violation.
type Found = Vec<(i64, String)>;

/// Returns how many holders it tolerates, itself included.
fn limit(kind: Kind) -> usize {
    match kind {
        Kind::Exclusive => 1,
        Kind::Shared => usize::MAX,
        Kind::Limit(n) => usize::from(n),
    }
}

/// Returns whether these two can't hold at once.
fn exclude(one: Kind, other: Kind) -> bool {
    limit(one).min(limit(other)) == 1
}

/// Checks that no more hold at once than the smallest limit among them.
fn exclusion(operations: &Numbered, found: &mut Found) {
    // Ends precede beginnings of the same moment.
    let mut changes: Vec<(i64, bool, usize, usize)> = Vec::new();
    for (number, operation) in operations {
        for (from, until) in operation.valid.iter().filter(|(from, until)| from < until) {
            changes.push((*from, true, *number, limit(operation.kind)));
            changes.push((*until, false, *number, limit(operation.kind)));
        }
    }
    changes.sort_unstable();
    let mut holders: BTreeSet<(usize, usize)> = BTreeSet::new();
    for (at, begins, number, limit) in changes {
        if !begins {
            holders.remove(&(limit, number));
            continue;
        }
        holders.insert((limit, number));
        if holders.first().is_some_and(|(smallest, _)| holders.len() > *smallest) {
            let numbers: BTreeSet<usize> = holders.iter().map(|(_, number)| *number).collect();
            let held: Vec<String> = numbers.iter().map(|number| format!("#{number}")).collect();
            found.push((at, format!("{} hold it at once", held.join(", "))));
        }
    }
}

/// Checks that an operation that was over before another began has the lower token.
fn order_of_tokens(operations: &Numbered, found: &mut Found) {
    // A beginning and an end are never the same event.
    let mut events: Vec<(u64, bool, usize, u64, i64)> = Vec::new();
    for (number, operation) in operations {
        if let (Some(token), Some(completed)) = (operation.token, operation.completed) {
            events.push((operation.invoked, false, *number, token, operation.completed_at));
            events.push((completed, true, *number, token, operation.completed_at));
        }
    }
    events.sort_unstable();
    let mut highest: Option<(u64, usize)> = None;
    for (_, completes, number, token, at) in events {
        match (completes, highest) {
            (true, _) => highest = highest.max(Some((token, number))),
            (false, Some((earlier, other))) if earlier >= token => found.push((
                at,
                format!("#{number} has token {token}, though #{other} had {earlier} before it asked"),
            )),
            _ => {}
        }
    }
}

/// Checks that of two that exclude each other, the one that held later has the higher token.
fn order_of_intervals(operations: &Numbered, found: &mut Found) {
    let mut held: Vec<(i64, u64, usize, Kind)> = Vec::new();
    for (number, operation) in operations {
        if let (Some(token), Some((from, _))) = (operation.token, operation.valid.first()) {
            held.push((*from, token, *number, operation.kind));
        }
    }
    held.sort_unstable_by_key(|(from, token, number, _)| (*from, *token, *number));
    // The highest token of those that exclude everybody, and of the others.
    let mut highest: [Option<(u64, usize)>; 2] = [None, None];
    for (from, token, number, kind) in held {
        let alone = exclude(kind, kind);
        let before = if alone { highest[0].max(highest[1]) } else { highest[0] };
        if let Some((earlier, other)) = before.filter(|(earlier, _)| *earlier >= token) {
            found
                .push((from, format!("#{number} holds it with token {token} after #{other} with {earlier}")));
        }
        let highest = &mut highest[usize::from(!alone)];
        *highest = (*highest).max(Some((token, number)));
    }
}

/// Checks that two that exclude each other never have the same token.
fn repeated_tokens(operations: &Numbered, found: &mut Found) {
    let mut known: BTreeMap<u64, (usize, Kind)> = BTreeMap::new();
    for (number, operation) in operations {
        let Some(token) = operation.token else { continue };
        match known.get(&token) {
            Some((other, kind)) if exclude(*kind, operation.kind) => {
                found.push((operation.completed_at, format!("#{number} has token {token}, as #{other} has")));
            }
            _ => {
                known.insert(token, (*number, operation.kind));
            }
        }
    }
}

/// Checks that a request is answered in time.
fn told(number: usize, operation: &Operation) -> Option<Violation> {
    let late = operation.completed.is_none() || operation.completed_at > operation.told_by;
    late.then(|| Violation {
        at: operation.told_by,
        resource: operation.resources.join(" "),
        what: match operation.completed {
            None => format!("#{number} was never told anything"),
            Some(_) => format!(
                "#{number} was told after {} ms, at most {} ms are right",
                (operation.completed_at - operation.invoked_at) / 1_000,
                (operation.told_by - operation.invoked_at) / 1_000
            ),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns an operation from the times of asking, grant and end, and the token.
    fn operation(kind: Kind, asked: i64, granted: i64, until: i64, token: u64) -> Operation {
        Operation {
            client: 0,
            resources: vec!["a".into()],
            kind,
            invoked: 2 * asked.unsigned_abs(),
            invoked_at: asked,
            told_by: i64::MAX,
            completed: Some(2 * granted.unsigned_abs() + 1),
            completed_at: granted,
            token: Some(token),
            valid: vec![(granted, until)],
        }
    }

    fn violations(operations: &[Operation]) -> Vec<String> {
        check(operations, true).into_iter().map(|violation| violation.what).collect()
    }

    #[test]
    fn one_after_the_other() {
        let one = operation(Kind::Exclusive, 1, 2, 5, 10);
        assert!(violations(&[one.clone(), operation(Kind::Exclusive, 1, 5, 6, 11)]).is_empty());
        let early = operation(Kind::Exclusive, 1, 4, 6, 11);
        assert_eq!(violations(&[one, early]), ["#0, #1 hold it at once"]);
    }

    #[test]
    fn readers_and_a_writer() {
        let reader = |granted| operation(Kind::Shared, 1, granted, 8, 10);
        assert!(violations(&[reader(2), reader(3)]).is_empty());
        let writer = operation(Kind::Exclusive, 1, 7, 9, 11);
        assert_eq!(violations(&[reader(2), writer]), ["#0, #1 hold it at once"]);
    }

    #[test]
    fn as_many_as_the_limit() {
        let holder =
            |granted: i64| operation(Kind::Limit(2), granted - 1, granted, 9, 10 + granted.unsigned_abs());
        assert!(violations(&[holder(2), holder(3)]).is_empty());
        assert_eq!(violations(&[holder(2), holder(4), holder(6)]).len(), 1);
    }

    #[test]
    fn tokens_rise() {
        let one = operation(Kind::Exclusive, 1, 2, 3, 10);
        let low = operation(Kind::Exclusive, 4, 5, 6, 9);
        assert_eq!(violations(&[one.clone(), low]).len(), 2);
        let same = operation(Kind::Exclusive, 4, 5, 6, 10);
        assert_eq!(violations(&[one, same]).len(), 3);
        let readers = [operation(Kind::Shared, 1, 3, 9, 10), operation(Kind::Shared, 2, 4, 9, 10)];
        assert!(violations(&readers).is_empty());
    }

    #[test]
    fn without_time_only_tokens_count() {
        let one = operation(Kind::Exclusive, 1, 2, 5, 10);
        let other = operation(Kind::Exclusive, 1, 4, 6, 9);
        assert_eq!(violations(&[one.clone(), other.clone()]).len(), 2);
        assert!(check(&[one, other], false).is_empty());
    }

    #[test]
    fn who_was_never_told() {
        let silent = Operation { completed: None, token: None, ..operation(Kind::Exclusive, 1, 2, 3, 10) };
        assert_eq!(violations(&[silent]), ["#0 was never told anything"]);
        let late = Operation { told_by: 4, ..operation(Kind::Exclusive, 1, 5, 6, 10) };
        assert_eq!(violations(&[late]), ["#0 was told after 0 ms, at most 0 ms are right"]);
    }
}
