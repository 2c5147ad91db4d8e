//! The Node.js programs of the docs: shown as they are, and run with the real client against real servers.
//!
//! They need Node.js 20 and `npm ci` in docs/node (`make setup` does that where Node.js is). Where either is missing
//! they are not run, and say so; with `REDIS_LOCK_SKIP_NOTHING` set that is a failure.

use crate::support::Say;
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(30);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/node")
}

/// Whether the programs can be run here.
fn is_there() -> bool {
    let version =
        Command::new("node").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let version = String::from_utf8_lossy(&version).trim().trim_start_matches('v').to_owned();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(0);
    let missing = if major < 20 {
        "Node.js 20 or newer"
    } else if !folder().join("node_modules/redis").exists() {
        "the packages of docs/node: run 'npm ci' there"
    } else {
        return true;
    };
    assert!(std::env::var_os("REDIS_LOCK_SKIP_NOTHING").is_none(), "missing: {missing}");
    eprintln!("not run, for want of {missing}");
    false
}

fn server() -> Server {
    Server::builder().tcp().start()
}

fn start(server: &Server, arguments: &[&str]) -> Child {
    Command::new("node")
        .args(arguments)
        .current_dir(folder())
        .env("REDIS_URL", format!("redis://127.0.0.1:{}", server.port()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node starts")
}

/// What it printed, both ways, once it has ended by itself.
#[track_caller]
fn end(mut child: Child) -> String {
    let ended = eventually(BOUND, || child.try_wait().expect("it can be waited for"));
    let output = child.wait_with_output().expect("its output");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(ended.success(), "{ended}: {text}");
    text.into_owned()
}

/// Runs lines of JavaScript in the folder of the programs; what they print.
#[track_caller]
fn script(server: &Server, lines: &str) -> String {
    let source = format!(
        "const lock = require('./redisLock'); const {{ keepLock }} = require('./keepLock');
         const {{ waitForLock, runInTurn }} = require('./waitForLock');
         const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
         (async () => {{ {lines} }})().catch((error) => console.log('thrown:', error.message)).finally(lock.end);"
    );
    end(start(server, &["-e", &source]))
}

fn free(client: &mut Client, key: &str) -> bool {
    client.say(&format!("LOCK.OWNER {key}")).is_nil()
}

#[test]
fn the_docs_show_these_very_files() {
    let page = include_str!("../../docs/clients.md");
    let mut files: Vec<String> = std::fs::read_dir(folder())
        .expect("docs/node is there")
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter(|name| name.ends_with(".js"))
        .collect();
    files.sort();
    assert!(files.len() >= 9, "{files:?}");
    for name in files {
        let source = std::fs::read_to_string(folder().join(&name)).expect("a source");
        assert!(
            page.contains(&format!("`{name}`\n\n```js\n{source}```\n")),
            "docs/clients.md shows another {name}"
        );
    }
}

#[test]
fn each_program_does_its_work_and_ends() {
    if !is_there() {
        return;
    }
    let server = server();
    let mut client = server.connect();
    for (program, says) in [
        ("taskRunner.js", &["Task is running under token", "Lock released."][..]),
        ("longTask.js", &["Task done."]),
        ("retryTask.js", &["Task is running under token"]),
        ("waitInLine.js", &["Task is running under token"]),
        ("fencedWrite.js", &["OK", "FENCED token"]),
    ] {
        let said = end(start(&server, &[program]));
        assert!(says.iter().all(|words| said.contains(words)), "{program}: {said}");
        assert!(free(&mut client, "resource_lock") && free(&mut client, "{report}"), "{program}");
    }
    client.take("resource_lock", "other", "");
    let said = end(start(&server, &["retryTask.js"]));
    assert!(said.contains("Attempt 3 - others hold the lock.") && said.contains("queueing"), "{said}");
    let mut monitor = start(&server, &["monitorLock.js"]);
    let mut out = std::io::BufReader::new(monitor.stdout.take().expect("it is piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).expect("a line");
    assert!(line.contains("Lock status for resource_lock: other"), "{line}");
    monitor.kill().expect("it runs");
    monitor.wait().expect("it ends");
}

#[test]
fn two_waits_at_once_do_not_wait_for_each_other() {
    if !is_there() {
        return;
    }
    let server = server();
    server.connect().take("held", "a", "");
    let said = script(
        &server,
        "const slow = waitForLock('held', lock.newOwner(), 10000, 3000).then(() => console.log('slow'));
         console.log('quick', await waitForLock('free', lock.newOwner(), 10000, 3000) > 0);
         await slow;",
    );
    assert_eq!(said, "quick true\nslow\n");
}

#[test]
fn what_asking_again_does_not_help_against_is_thrown() {
    if !is_there() {
        return;
    }
    let server = server();
    let mut client = server.connect();
    assert_eq!(client.say("SET text x"), Reply::ok());
    let said = script(
        &server,
        "const [one, two] = [lock.newOwner(), lock.newOwner()];
         await lock.acquireLock('a', one, 60000); await lock.acquireLock('b', two, 60000);
         const first = waitForLock('b', one, 60000, 20000);
         while ((await lock.send('LOCK.INFO', 'b')).waiters.length === 0) await sleep(5);
         await waitForLock('a', two, 60000, 20000).catch((error) => console.log(error.message));
         await lock.releaseLock('b', two);
         console.log(await first > 0);
         await waitForLock('text', one, 60000, 20000);",
    );
    assert!(
        said.starts_with("DEADLOCK waiting would close a circle of 2 locks\ntrue\nthrown: WRONGTYPE "),
        "{said}"
    );
    let plain = Server::builder().tcp().without_module().start();
    let said = script(&plain, "await waitForLock('k', lock.newOwner(), 60000, 20000);");
    assert!(said.starts_with("thrown: ERR unknown command"), "{said}");
}

/// The program ends its wait, and itself, though the server says nothing.
#[test]
fn a_wait_ends_also_against_a_frozen_server() {
    if !is_there() {
        return;
    }
    let server = server();
    let mut client = server.connect();
    client.take("k", "a", "");
    let child = start(
        &server,
        &[
            "-e",
            "const lock = require('./redisLock'); const { runInTurn } = require('./waitForLock');
             lock.send('SET', 'ready', 1).then(() =>
               runInTurn('k', 10000, 500, async () => console.log('granted')).finally(lock.end));",
        ],
    );
    eventually(BOUND, || client.say("EXISTS ready") == Reply::Int(1));
    server.freeze();
    let said = end(child);
    assert!(said.contains("Not in time.") && !said.contains("granted"), "{said}");
    server.thaw();
    eventually(BOUND, || server.info_u64("lock", "lock_waiting") == 0);
}

#[test]
fn the_clock_tells_what_a_signal_could_not() {
    if !is_there() {
        return;
    }
    let server = server();
    let said = script(
        &server,
        "const owner = lock.newOwner();
         const sentAt = performance.now();
         await lock.acquireLock('k', owner, 300);
         const kept = keepLock('k', owner, 300, sentAt);
         kept.throwIfLost();
         while (performance.now() < sentAt + 400);
         console.log('aborted', kept.signal.aborted);
         kept.throwIfLost();",
    );
    assert_eq!(said, "aborted false\nthrown: k: not renewed in time\n");
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
