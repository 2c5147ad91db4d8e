//! Whoever wants the lock: two of each kind.

use super::record::{Ledger, Record, Turn, now};
use crate::support::{BOUND, KEY, program};
use redis_lock_harness::{Server, eventually};
use redis_lock_quorum::{Lease, Options, Quorum};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const OF_EACH_KIND: usize = 2;
const TTL: Duration = Duration::from_secs(3);
/// Longer than anything that happens here.
const WAIT: Duration = Duration::from_secs(60);
const HOLD: Duration = Duration::from_millis(1);
/// Long enough for an outage in its midst, and for a renewal.
const LONG_HOLD: Duration = Duration::from_millis(1_800);
/// How often a section looks whether the lock is valid.
const STEP: Duration = Duration::from_millis(20);

/// What the sections are like.
#[derive(Clone, Copy)]
pub struct Shape {
    long_one_in: u32,
}

impl Shape {
    pub fn for_turns(turns: usize) -> Shape {
        Shape { long_one_in: if turns > 10_000 { 1_000 } else { 200 } }
    }

    fn hold(&self) -> Duration {
        if rand::random_ratio(1, self.long_one_in) { LONG_HOLD } else { HOLD }
    }

    /// For the programs in other languages.
    fn arguments(&self) -> [String; 6] {
        let ms = |time: Duration| time.as_millis().to_string();
        let one_in = self.long_one_in.to_string();
        [OF_EACH_KIND.to_string(), ms(TTL), ms(WAIT), ms(HOLD), ms(LONG_HOLD), one_in]
    }
}

/// All of them, at work.
pub struct Workers {
    ledger: Arc<Ledger>,
    names: Vec<String>,
    programs: Vec<(Child, JoinHandle<()>)>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub fn start(server: &Server, shape: &Shape) -> Workers {
        let mut workers =
            Workers { ledger: Arc::default(), names: Vec::new(), programs: Vec::new(), threads: Vec::new() };
        let socket = server.socket();
        for library in ["node-redis", "ioredis"] {
            workers.program(library, node(), socket, shape);
        }
        for flavour in ["threads", "asyncio"] {
            workers.program(flavour, python(), socket, shape);
        }
        let url = format!("redis+unix://{}", socket.to_str().expect("paths of tests are UTF-8"));
        for name in workers.name("rust") {
            workers.thread(url.clone(), *shape, move |url, shape, ledger| {
                use_library(&name, url, shape, ledger)
            });
        }
        for name in workers.name("run") {
            workers
                .thread(url.clone(), *shape, move |url, shape, ledger| use_tool(&name, url, shape, ledger));
        }
        workers
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Lets them end in their own time, and returns what they told.
    pub fn stop(mut self) -> Record {
        self.ledger.end();
        // Standard input ends: they take no further turn.
        self.programs.iter_mut().for_each(|(child, _)| drop(child.stdin.take()));
        for (child, reader) in &mut self.programs {
            let status = eventually(BOUND, || child.try_wait().expect("it can be waited for"));
            assert!(status.success(), "a worker ended with {status}");
            eventually(BOUND, || reader.is_finished());
        }
        for thread in self.threads.drain(..) {
            eventually(BOUND, || thread.is_finished());
            thread.join().expect("a worker does not panic");
        }
        self.ledger.record(std::mem::take(&mut self.names))
    }

    fn name(&mut self, kind: &str) -> Vec<String> {
        let names: Vec<String> = (1..=OF_EACH_KIND).map(|number| format!("{kind}-{number}")).collect();
        self.names.extend(names.iter().cloned());
        names
    }

    /// A program that runs all workers of its kind.
    fn program(&mut self, kind: &str, mut command: Command, socket: &Path, shape: &Shape) {
        self.name(kind);
        command.arg(kind).arg(socket).arg(KEY).args(shape.arguments());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it can be started");
        let told = BufReader::new(child.stdout.take().expect("it is piped"));
        let ledger = Arc::clone(&self.ledger);
        let reader = std::thread::spawn(move || {
            told.lines().for_each(|line| ledger.take_down(&line.expect("workers write text")));
        });
        self.programs.push((child, reader));
    }

    fn thread(
        &mut self,
        url: String,
        shape: Shape,
        work: impl FnOnce(&str, Shape, &Ledger) + Send + 'static,
    ) {
        let ledger = Arc::clone(&self.ledger);
        self.threads.push(std::thread::spawn(move || work(&url, shape, &ledger)));
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.ledger.end();
        for (child, _) in &mut self.programs {
            // It has ended as a rule.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn packages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients")
}

fn node() -> Command {
    let program = packages().join("node/build/test/programs/turns.mjs");
    let mut command = Command::new("node");
    command.arg(built(program));
    command
}

fn python() -> Command {
    let mut command = Command::new(built(packages().join("python/.venvs/redis-8.1/bin/python")));
    command.arg(packages().join("python/tests/turns.py")).env("PYTHONPATH", packages().join("python/src"));
    command
}

fn built(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is not there: scripts/packages.sh makes it", path.display());
    path
}

/// Turns with the Rust client, over one node.
fn use_library(name: &str, url: &str, shape: Shape, ledger: &Ledger) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let quorum = Quorum::connect([url], Options::default()).await.expect("the URL is right");
        while !ledger.is_over() {
            let began = now();
            let section =
                |lease: Lease| async move { under_lock(name, began, shape.hold(), &lease, ledger).await };
            match quorum.acquire(KEY, TTL).wait(WAIT).using(section).await {
                Ok(true) => {}
                Ok(false) => ledger.complain(name, began, "LockLost: its validity is over".into()),
                Err(error) => {
                    ledger.complain(name, began, format!("{error:?}").replacen(['(', ' '], ": ", 1))
                }
            }
        }
        tokio::time::timeout(TTL, quorum.settled()).await.expect("what is released in the background ends");
    });
}

/// Whether it was valid to the end.
async fn under_lock(name: &str, began: u64, hold: Duration, lease: &Lease, ledger: &Ledger) -> bool {
    let entered = now();
    let (mut left, mut valid) = (entered, !lease.validity().is_zero());
    let end = Instant::now() + hold;
    while valid && Instant::now() < end {
        tokio::time::sleep(STEP.min(end.saturating_duration_since(Instant::now()))).await;
        // The moment comes first: what is valid afterwards was valid then.
        let moment = now();
        valid = !lease.validity().is_zero();
        left = if valid { moment } else { left };
    }
    ledger.add(Turn { who: name.into(), began, entered, left, token: lease.fencing_token() });
    valid
}

/// Turns with `redis-lock run`, whose command prints its token, and then what it is told. So a section is seen from outside:
/// while the command answers it lives, and it is ended before the lock's validity is.
fn use_tool(name: &str, url: &str, shape: Shape, ledger: &Ledger) {
    const COMMAND: &str = r#"echo "$REDIS_LOCK_FENCE"; while read -r line; do echo "$line"; done"#;
    let (ttl, wait) = (format!("{}s", TTL.as_secs()), format!("{}s", WAIT.as_secs()));
    while !ledger.is_over() {
        let began = now();
        let mut tool = program();
        tool.args([
            "run", "--node", url, "--key", KEY, "--ttl", &ttl, "--wait", &wait, "--", "sh", "-c", COMMAND,
        ]);
        tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = tool.spawn().expect("the tool is built");
        let mut told =
            BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let mut command = child.stdin.take().expect("it is piped");
        if let Some(token) = told.next() {
            let entered = now();
            let (mut left, mut lives) = (entered, true);
            let end = Instant::now() + shape.hold();
            while lives && Instant::now() < end {
                std::thread::sleep(STEP.min(end.saturating_duration_since(Instant::now())));
                let moment = now();
                lives = writeln!(command, "{moment}").is_ok() && told.next() == Some(moment.to_string());
                left = if lives { moment } else { left };
            }
            let token = token.parse().expect("the command prints its token first");
            ledger.add(Turn { who: name.into(), began, entered, left, token });
        }
        drop(command);
        let status = child.wait().expect("it can be waited for");
        if !status.success() {
            let mut why = String::new();
            // Only for whoever reads it.
            let _ = child.stderr.take().expect("it is piped").read_to_string(&mut why);
            ledger.complain(name, began, format!("{status}: {why}"));
        }
    }
}
