//! The tours of README and docs as a reader types them: each command through redis-cli, its output compared with the page.
//!
//! In a block marked `console`, a line with the prompt is a command, and the lines up to the next prompt are what
//! it prints. Both are compared word by word. A block marked `console 2` is a second terminal: what is typed there
//! waits, and what it prints stands in the next such block. Three kinds of number differ from run to run:
//!
//! - A **token** is any integer above 10^15. One on the page stands for one of the run, wherever it appears (in
//!   commands too), and a higher one on the page for a higher one of the run.
//! - A **time** is the reply of LOCK.TTL and the number after `"ttl-ms"`, `"held-ms"` or `"waiting-ms"`. What is left
//!   of a ttl is above 0 and at most the ttl that the page's number is left of, a whole number of half minutes. What has
//!   passed is at most a minute.
//! - A **client** is the number after `"client"`.
//!
//! How long a command took, as redis-cli prints it, is not compared.

use redis_lock_harness::{eventually, server_binary, Server};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PAGES: [&str; 2] = [include_str!("../../README.md"), include_str!("../../docs/tour.md")];
const PROMPT: &str = "127.0.0.1:6379> ";
const LOWEST_TOKEN: u64 = 1_000_000_000_000_000;
const LONGEST_HELD_MS: u64 = 60_000;
const TTL_STEP_MS: u64 = 30_000;
const BOUND: Duration = Duration::from_secs(20);

#[test]
fn the_tours_print_what_the_pages_show() {
    PAGES.into_iter().for_each(follow);
    assert!(steps(PAGES[1]).iter().any(|step| step.terminal == 2), "the tour has two terminals");
}

/// Types a page's tour.
fn follow(page: &str) {
    let server = Server::start();
    let cli = redis_cli();
    let mut tokens = Tokens::default();
    let mut waiting: Option<(String, Child)> = None;
    let steps = steps(page);
    assert!(!steps.is_empty(), "the page has a tour");
    for mut step in steps {
        let printed = match (step.terminal, step.command.is_empty()) {
            (1, _) => printed(typed(&cli, server.socket(), &tokens.typed(&step.command))),
            (_, false) => {
                let child = typed(&cli, server.socket(), &tokens.typed(&step.command));
                eventually(BOUND, || server.info_u64("lock", "lock_waiting") == 1);
                waiting = Some((step.command, child));
                continue;
            }
            (_, true) => {
                let (command, child) = waiting.take().expect("somebody waits in the second terminal");
                step.command = command;
                printed(child)
            }
        };
        if let Err(difference) = compare(&step, &printed, &mut tokens) {
            panic!("{}\n{difference}\n--- README\n{}\n--- now\n{printed}", step.command, step.output);
        }
    }
    assert!(waiting.is_none(), "the second terminal never printed anything");
}

/// A command of the tour and what the page says that it prints; without a command, what an earlier one of
/// the second terminal prints.
#[derive(Debug, Default)]
struct Step {
    terminal: u8,
    command: String,
    output: String,
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut terminal = 0;
    let mut begins = false;
    for line in page.lines() {
        if line.starts_with("```") {
            terminal = match line {
                "```console" => 1,
                "```console 2" => 2,
                _ => 0,
            };
            begins = true;
        } else if let Some(command) = line.strip_prefix(PROMPT).filter(|_| terminal > 0) {
            steps.push(Step { terminal, command: command.into(), output: String::new() });
            begins = false;
        } else if terminal > 0 {
            if terminal == 2 && begins {
                steps.push(Step { terminal, ..Step::default() });
                begins = false;
            }
            let step = steps.last_mut().expect("a block begins with a prompt");
            step.output += line;
            step.output.push('\n');
        }
    }
    steps
}

/// redis-cli or valkey-cli: beside the server, or where programs are.
fn redis_cli() -> PathBuf {
    let beside_server = server_binary().parent().map(Path::to_path_buf);
    let folders = beside_server
        .into_iter()
        .filter(|folder| folder.is_absolute())
        .flat_map(|folder| [folder.join("redis-cli"), folder.join("valkey-cli")]);
    folders
        .chain(["redis-cli".into(), "valkey-cli".into()])
        .find(|cli| Command::new(cli).arg("--version").output().is_ok())
        .expect("redis-cli or valkey-cli is installed (Debian: redis-tools)")
}

/// redis-cli with one line typed into it; --no-raw is what a terminal gets.
fn typed(cli: &Path, socket: &Path, line: &str) -> Child {
    let mut child = Command::new(cli)
        .arg("--no-raw")
        .arg("-s")
        .arg(socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-cli starts");
    let mut typed = child.stdin.take().expect("its input is a pipe");
    writeln!(typed, "{line}").expect("redis-cli reads its input");
    child
}

/// What it prints until it ends.
fn printed(child: Child) -> String {
    let output = child.wait_with_output().expect("redis-cli ends");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Which token of the run each token of the page stands for.
#[derive(Default)]
struct Tokens(BTreeMap<u64, u64>);

impl Tokens {
    /// The page's command with the run's tokens. One that no reply has shown stays as it is.
    fn typed(&self, command: &str) -> String {
        let in_run = |word: &str| token(word).and_then(|page| self.0.get(&page)).map(u64::to_string);
        let words = command.split(' ').map(|word| in_run(word).unwrap_or(word.into()));
        words.collect::<Vec<String>>().join(" ")
    }

    /// Whether the two can be the same token, going by what was seen before.
    fn agree(&mut self, page: u64, run: u64) -> bool {
        let known = *self.0.entry(page).or_insert(run);
        let rising = self.0.values().zip(self.0.values().skip(1)).all(|(lower, higher)| lower < higher);
        known == run && rising
    }
}

fn token(word: &str) -> Option<u64> {
    word.parse().ok().filter(|number| *number >= LOWEST_TOKEN)
}

fn compare(step: &Step, printed: &str, tokens: &mut Tokens) -> Result<(), String> {
    let page: Vec<&str> = step.output.split_whitespace().filter(|word| !is_elapsed(word)).collect();
    let run: Vec<&str> = printed.split_whitespace().filter(|word| !is_elapsed(word)).collect();
    if page.is_empty() || page.len() != run.len() {
        return Err(format!("{} words in the README, {} now", page.len(), run.len()));
    }
    let mut name = step.command.split(' ').next().unwrap_or_default();
    for (page, run) in page.into_iter().zip(run) {
        if page.starts_with('"') {
            name = page;
        }
        if !same(name, page, run, tokens) {
            return Err(format!("'{page}' in the README, '{run}' now"));
        }
    }
    Ok(())
}

/// `(6.31s)`: redis-cli says how long a command took, if it took half a second.
fn is_elapsed(word: &str) -> bool {
    let seconds = word.strip_prefix('(').and_then(|word| word.strip_suffix("s)"));
    seconds.is_some_and(|seconds| seconds.parse::<f64>().is_ok())
}

/// Whether a word of the page and one of the run say the same; `name` tells what a number there is.
fn same(name: &str, page: &str, run: &str, tokens: &mut Tokens) -> bool {
    if page == run && token(page).is_none() {
        return true;
    }
    if let (Some(page), Some(run)) = (token(page), token(run)) {
        return tokens.agree(page, run);
    }
    let (Ok(page), Ok(run)) = (page.parse::<u64>(), run.parse::<u64>()) else {
        return false;
    };
    match name {
        "LOCK.TTL" | "\"ttl-ms\"" => 0 < run && run <= page.next_multiple_of(TTL_STEP_MS),
        "\"held-ms\"" | "\"waiting-ms\"" => run <= LONGEST_HELD_MS,
        "\"client\"" => run > 0,
        _ => false,
    }
}

/// The comparison itself can fail: what differs in kind, in a token or in a bound is told apart.
#[test]
fn a_different_output_is_noticed() {
    let told_apart = |command: &str, output: &str, printed: &str| {
        let step = Step { terminal: 1, command: command.into(), output: output.into() };
        compare(&step, printed, &mut Tokens::default()).is_err()
    };
    let first = "(integer) 1763926522000001";
    assert!(!told_apart("LOCK.ACQUIRE k o 1", first, "(integer) 1863926522000009"));
    assert!(told_apart("LOCK.ACQUIRE k o 1", first, "(nil)"));
    assert!(told_apart("LOCK.ACQUIRE k o 1", first, "(integer) 1"));
    assert!(told_apart("LOCK.ACQUIRE k o 1", first, "\"1763926522000001\""));
    assert!(told_apart("LOCK.RELEASE k o", "(integer) 1", "(integer) 0"));
    assert!(told_apart("LOCK.RELEASE k o", "(integer) 1", ""));
    assert!(told_apart("LOCK.RELEASE k o", "", ""));
    assert!(!told_apart("LOCK.TTL k", "(integer) 59990", "(integer) 59999"));
    assert!(told_apart("LOCK.TTL k", "(integer) 59990", "(integer) 60001"));
    assert!(told_apart("LOCK.TTL k", "(integer) 59990", "(integer) -2"));
    assert!(told_apart("LOCK.INFO k", "\"limit\" (integer) 1", "\"limit\" (integer) 2"));

    let mut tokens = Tokens::default();
    assert!(tokens.agree(LOWEST_TOKEN + 1, LOWEST_TOKEN + 11));
    assert_eq!(tokens.typed("LOCK.CHECK k 1000000000000001"), "LOCK.CHECK k 1000000000000011");
    assert!(!tokens.agree(LOWEST_TOKEN + 1, LOWEST_TOKEN + 12), "another token than before");
    assert!(!tokens.agree(LOWEST_TOKEN + 2, LOWEST_TOKEN + 10), "a token that falls");
}
