//! The programs of docs/clients.md: shown as they are in the packages, whose own tests run them.

use std::path::Path;
use std::process::Command;

#[test]
fn the_docs_show_these_very_files() {
    let page = include_str!("../../docs/clients.md");
    let mut shown = 0;
    for (before, after) in page.split("\n```").zip(page.split("\n```").skip(1)) {
        let named = before.trim_end().rsplit('\n').next().unwrap_or_default();
        let Some(path) = named.strip_prefix("`clients/").and_then(|path| path.strip_suffix('`')) else {
            continue;
        };
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(path);
        let source = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
        let (_, program) = after.split_once('\n').expect("a language, then the program");
        assert_eq!(format!("{program}\n"), source, "docs/clients.md shows another {path}");
        shown += 1;
    }
    assert!(shown >= 20, "{shown} programs");
}

/// The statements of the docs, in every order of two holders: what was acknowledged is there in the end. With the
/// comparison on writing alone it is not.
#[test]
fn a_token_shown_before_reading_loses_no_update() {
    let page = include_str!("../../docs/clients.md");
    let block = page.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the SQL");
    let check = r#"
import itertools, sqlite3, sys
show, read, write = [line.split(";")[0] for line in sys.argv[1].strip().splitlines()]
blind = "UPDATE report SET body = :body, fence = :token WHERE id = 7 AND fence <= :token"

def lost(statements):
    count = 0
    for order in sorted(set(itertools.permutations("AAABBB"))):
        db = sqlite3.connect(":memory:")
        db.execute("CREATE TABLE report (id INTEGER, body TEXT, fence INTEGER)")
        db.execute("INSERT INTO report VALUES (7, '', 0)")
        step, seen, stopped, acknowledged = {"A": 0, "B": 0}, {}, set(), []
        for who in order:
            token = {"A": 1, "B": 2}[who]
            statement = statements[step[who]]
            step[who] += 1
            if who in stopped or statement is None:
                continue
            values = {"token": token, "body": seen.get(who, "") + who}
            result = db.execute(statement, values)
            if statement.startswith("SELECT"):
                seen[who] = result.fetchone()[0]
            elif result.rowcount == 0:
                stopped.add(who)
            elif "body" in statement:
                acknowledged.append(who)
        body = db.execute("SELECT body FROM report").fetchone()[0]
        count += any(who not in body for who in acknowledged)
    return count

print(lost([show, read, write]), lost([None, read, blind]))
"#;
    let Ok(output) = Command::new("python3").args(["-c", check, block]).output() else {
        assert!(std::env::var_os("REDIS_LOCK_SKIP_NOTHING").is_none(), "missing: python3");
        eprintln!("not run, for want of python3, whose sqlite3 it uses");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let counts: Vec<u32> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(counts.len() == 2, "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(counts[0], 0, "the statements of the docs lose updates");
    assert!(counts[1] > 0, "the comparison on writing alone loses some");
}
