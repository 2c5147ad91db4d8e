//! The steps of the demonstration, and what they mean. Each step checks what it claims.

use super::nodes::{COUNT, Nodes};
use redis_lock_quorum::{Error, Failure, Lock, NodeAnswer, Options, Quorum};
use std::cell::OnceCell;
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use tokio::time::Instant;

/// Long enough to follow, and short enough to see the lock expire.
const TTL: Duration = Duration::from_secs(6);
/// Long enough for a machine that is busy with other things.
const NODE_TIMEOUT: Duration = Duration::from_millis(500);
const LOST_MARGIN: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1_500);
const RESOURCE: &str = "nightly-report";

/// Writes the text of the demonstration.
struct Teller {
    colours: bool,
    pause: Duration,
    step: u32,
    /// The error after which nobody can read on.
    closed: OnceCell<std::io::Error>,
}

impl Teller {
    fn new(fast: bool) -> Teller {
        let terminal = std::io::stdout().is_terminal();
        let colours = terminal && std::env::var_os("NO_COLOR").is_none();
        Teller {
            colours,
            pause: if fast || !terminal { Duration::ZERO } else { PAUSE },
            step: 0,
            closed: OnceCell::new(),
        }
    }

    fn paint(&self, code: &str, text: impl Display) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    fn line(&self, text: impl Display) {
        if let Err(error) = writeln!(std::io::stdout(), "{text}") {
            // The first error tells why.
            let _ = self.closed.set(error);
        }
    }

    /// # Errors
    /// Returns an error if nobody can read it.
    async fn step(&mut self, title: &str) -> Result<(), String> {
        self.step += 1;
        if self.step > 1 {
            tokio::time::sleep(self.pause).await;
        }
        self.line(format!("\n{}", self.paint("1", format!("{}. {title}", self.step))));
        match self.closed.get() {
            Some(error) => Err(format!("can't write to standard output: {error}")),
            None => Ok(()),
        }
    }

    fn tell(&self, text: impl Display) {
        self.line(format!("   {text}"));
    }

    fn yes(&self, text: impl Display) {
        self.line(format!("   {} {text}", self.paint("32", "yes")));
    }

    fn no(&self, text: impl Display) {
        self.line(format!("   {}  {text}", self.paint("33", "no")));
    }

    fn nodes(&self, alive: &[bool; COUNT]) {
        let node = |(number, alive): (usize, &bool)| match alive {
            true => self.paint("32", format!("[node {}]", number + 1)),
            false => self.paint("31", format!(" node {} dead", number + 1)),
        };
        let line: Vec<String> = alive.iter().enumerate().map(node).collect();
        self.line(format!("   {}", line.join(" ")));
    }
}

/// Runs the script from the beginning to the end.
///
/// # Errors
/// Returns what did not happen as promised.
pub async fn tell(nodes: &mut Nodes, fast: bool) -> Result<(), String> {
    let mut teller = Teller::new(fast);
    let mut alive = [true; COUNT];
    let options = || Options {
        retry_count: 0,
        node_timeout: Some(NODE_TIMEOUT),
        lost_margin: Some(LOST_MARGIN),
        ..Options::default()
    };

    teller.step("Five servers that know nothing of each other").await?;
    nodes.start().await?;
    teller.tell(format!(
        "{} with the module, on unix sockets in {}",
        nodes.server().display(),
        nodes.dir().display()
    ));
    teller.nodes(&alive);
    // Two programs, each with its own connections.
    let connect = async || Quorum::connect(nodes.urls(), options()).await.map_err(|error| error.to_string());
    let (alice, bob) = (connect().await?, connect().await?);

    teller.step("Alice takes the lock: three of the five have to say yes").await?;
    let start = Instant::now();
    let lock = alice.acquire(RESOURCE, TTL).await.map_err(|error| unexpected("Alice's acquire", &error))?;
    teller.yes(format!(
        "Alice has \"{RESOURCE}\", for {:.1} s if she does not renew it ({:.1} ms)",
        lock.validity().as_secs_f64(),
        start.elapsed().as_secs_f64() * 1e3
    ));
    teller.tell(format!(
        "her fencing token is {}: whatever she writes to can refuse a lower one",
        lock.fencing_token()
    ));
    refused(&teller, &bob, "Bob wants it too").await?;

    teller.step("Two servers are killed").await?;
    for number in [4, 5] {
        teller.tell(format!("kill -9 {}   (node {number})", nodes.pid(number)));
        nodes.kill(number);
        alive[number - 1] = false;
    }
    teller.nodes(&alive);
    refused(&teller, &bob, "Bob tries again: three that Alice holds are left").await?;
    let validity = lock.extend(TTL).await.map_err(|error| unexpected("Alice's extend", &error))?;
    teller.yes(format!("Alice renews it: valid for {:.1} s from now", validity.as_secs_f64()));

    teller.step("Alice is done, and Bob gets it: three of five are enough").await?;
    let first = lock.fencing_token();
    lock.release().await.map_err(|error| unexpected("Alice's release", &error))?;
    let lock = bob.acquire(RESOURCE, TTL).await.map_err(|error| unexpected("Bob's acquire", &error))?;
    if lock.fencing_token() <= first {
        return Err(format!("Bob's token {} is not above Alice's {first}", lock.fencing_token()));
    }
    teller.yes(format!("Bob has it, under token {}: above Alice's", lock.fencing_token()));
    refused(&teller, &alice, "Alice wants it back").await?;

    teller.step("A third server is killed: two of five are no majority").await?;
    teller.tell(format!("kill -9 {}   (node 3)", nodes.pid(3)));
    nodes.kill(3);
    alive[2] = false;
    teller.nodes(&alive);
    the_end_of_it(&teller, &alice, &lock).await?;

    teller.line(format!(
        "\n{}",
        teller.paint("1", "That is all. The servers are stopped and their files removed.")
    ));
    teller
        .line("Try it yourself: redis-lock run --node URL --key NAME -- COMMAND    (redis-lock help run)\n");
    Ok(())
}

/// Bob is told in time, and nobody gets the lock without a majority.
async fn the_end_of_it(teller: &Teller, alice: &Quorum, lock: &Lock) -> Result<(), String> {
    match lock.extend(TTL).await {
        Err(Error::NoQuorum(failure)) => {
            teller.no("Bob can't renew it:");
            answers(teller, &failure);
        }
        Err(error) => return Err(unexpected("Bob's extend", &error)),
        Ok(_) => return Err("a minority extended the lock".into()),
    }
    teller.tell(format!(
        "he still has it for {:.1} s, and is told to stop in time ...",
        lock.validity().as_secs_f64()
    ));
    lock.lost().await;
    let left = lock.validity();
    if left.is_zero() {
        return Err("Bob was told too late".into());
    }
    teller.tell(format!("... now: {:.1} s before anybody else could have it", left.as_secs_f64()));
    // The servers' clocks may run 1 % slower, so they keep the lock for that much longer.
    tokio::time::sleep(left + TTL / 20).await;
    match alice.acquire(RESOURCE, TTL).await {
        Err(Error::NoQuorum(failure)) => {
            teller.no("and Alice does not get it while three are down: better nobody than two at once");
            answers(teller, &failure);
            Ok(())
        }
        Err(error) => Err(unexpected("Alice's acquire", &error)),
        Ok(_) => Err("a minority granted the lock".into()),
    }
}

/// Checks that another client is told that the lock is held.
async fn refused(teller: &Teller, quorum: &Quorum, who: &str) -> Result<(), String> {
    match quorum.acquire(RESOURCE, TTL).await {
        Err(Error::Held(_)) => {
            teller.no(format!("{who}: refused, others hold it"));
            Ok(())
        }
        Err(error @ Error::NoQuorum(_)) if excludes(&error) => {
            teller.no(format!("{who}: refused, others hold it"));
            Ok(())
        }
        Err(error) => Err(unexpected(who, &error)),
        Ok(lock) => Err(format!("two have it at once, the second under token {}", lock.fencing_token())),
    }
}

/// Returns whether at least one node says that others hold it. If nodes are down, too few may say so.
fn excludes(error: &Error) -> bool {
    error.failure().is_some_and(|failure| failure.nodes.iter().any(|node| node.answer == NodeAnswer::Held))
}

fn answers(teller: &Teller, failure: &Failure) {
    for (number, node) in failure.nodes.iter().enumerate() {
        teller.tell(format!("    node {}: {}", number + 1, node.answer));
    }
}

fn unexpected(what: &str, error: &Error) -> String {
    format!("{what} failed, which should not be: {error}")
}
