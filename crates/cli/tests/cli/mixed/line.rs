//! The line, as the server shows it: whoever leaves it leaves from the front, whoever comes stands behind.

use redis_lock_harness::Reply;

#[derive(Default)]
pub struct Line {
    /// The owners that waited when it was last looked at, by the same server.
    last: Vec<String>,
    pub looks: usize,
    pub objections: Vec<String>,
}

impl Line {
    /// A server that was started again has a new line.
    pub fn is_new(&mut self) {
        self.last.clear();
    }

    /// Compares what LOCK.INFO says with what it said before.
    pub fn look(&mut self, info: &Reply) {
        let waiters = if info.is_nil() { &[][..] } else { info.get("waiters").array() };
        self.compare(waiters.iter().map(|one| one.get("owner").text().to_owned()).collect());
    }

    fn compare(&mut self, line: Vec<String>) {
        let stayed = self.last.iter().filter(|owner| line.contains(owner)).count();
        if self.last[self.last.len() - stayed..] != line[..stayed] {
            self.objections.push(format!("the line was {:?}, and then {line:?}", self.last));
        }
        self.last = line;
        self.looks += 1;
    }
}

#[test]
fn who_overtakes_in_line_is_seen() {
    for (before, after, in_order) in [
        ("", "", true),
        ("", "a b", true),
        ("a b", "", true),
        ("a b", "b c", true),
        ("a b", "a b c d", true),
        ("a b c", "a c", false),
        ("a b c", "a b", false),
        ("a b", "b a", false),
        ("a b", "c a b", false),
        ("a b", "c b", false),
    ] {
        let owners = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let mut line = Line { last: owners(before), ..Line::default() };
        line.compare(owners(after));
        assert_eq!(line.objections.is_empty(), in_order, "{before} -> {after}");
    }
}
