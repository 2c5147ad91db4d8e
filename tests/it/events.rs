//! Keyspace events.

use crate::keyspace::{say_all, HOUR};
use crate::support::{settled, Say};
use redis_lock_harness::{eventually, Client, Reply, Server};
use std::time::Duration;

const MARKER: &str = "marker";

/// A subscriber that hears every keyspace event of a server, in order.
pub struct Ears {
    subscriber: Client,
    speaker: Client,
}

impl Ears {
    /// Listens to all classes of events.
    pub fn on(server: &Server) -> Ears {
        Ears::with_classes(server, "KEA")
    }

    /// Listens after `notify-keyspace-events` was set to `classes`.
    pub fn with_classes(server: &Server, classes: &str) -> Ears {
        let (mut subscriber, mut speaker) = (server.connect(), server.connect());
        let set = speaker.run(["CONFIG", "SET", "notify-keyspace-events", classes]);
        assert_eq!(set, Reply::ok());
        subscriber.run(["PSUBSCRIBE", "__key*@*__:*"]);
        subscriber.run(["SUBSCRIBE", MARKER]);
        Ears { subscriber, speaker }
    }

    /// All messages since the last call, as `channel message`. Messages keep their order, so what comes
    /// before a message of our own is all there is.
    pub fn messages(&mut self) -> Vec<String> {
        self.speaker.run(["PUBLISH", MARKER, MARKER]);
        let mut heard = Vec::new();
        loop {
            match self.next() {
                (channel, _) if channel == MARKER => return heard,
                (channel, message) => heard.push(format!("{channel} {message}")),
            }
        }
    }

    /// The events since the last call, as `db key event`, in order.
    pub fn heard(&mut self) -> Vec<String> {
        self.messages().iter().filter_map(|line| event(line)).collect()
    }

    /// The events up to the first one that is `awaited`, which must come within half a minute.
    pub fn until(&mut self, awaited: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let (channel, message) = self.next();
            if let Some(event) = event(&format!("{channel} {message}")) {
                let found = event == awaited;
                heard.push(event);
                if found {
                    return heard;
                }
            }
        }
    }

    fn next(&mut self) -> (String, String) {
        let message = self.subscriber.read();
        let parts = message.array();
        let text = |part: &Reply| String::from_utf8_lossy(part.bytes()).into_owned();
        (text(&parts[parts.len() - 2]), text(&parts[parts.len() - 1]))
    }
}

/// `__keyspace@0__:key event` as `0 key event`; nothing for the other kind of channel.
fn event(line: &str) -> Option<String> {
    let (db, rest) = line.strip_prefix("__keyspace@")?.split_once("__:")?;
    Some(format!("{db} {rest}"))
}

/// Runs a line and returns its reply and the events that it gave.
fn events_of(client: &mut Client, ears: &mut Ears, line: &str) -> (Reply, Vec<String>) {
    let reply = client.say(line);
    (reply, ears.heard())
}

#[test]
fn each_command_gives_its_events_and_no_others() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    let script: &[(&str, &[&str])] = &[
        ("LOCK.ACQUIRE k a 1000000", &["0 k lock.acquire"]),
        ("LOCK.ACQUIRE k b 1000000", &[]),
        ("LOCK.ACQUIRE k a 2000000", &["0 k lock.extend"]),
        ("LOCK.EXTEND k a 3000000", &["0 k lock.extend"]),
        ("LOCK.EXTEND k a 1000 FENCE 9007199254740000", &[]),
        ("LOCK.EXTEND k b 1000000", &[]),
        ("LOCK.RELEASE k b", &[]),
        ("LOCK.OWNER k", &[]),
        ("LOCK.TTL k", &[]),
        ("LOCK.INFO k", &[]),
        ("LOCK.CHECK k 1", &[]),
        ("LOCK.ACQUIRE k a 1000000 LIMIT 3", &[]),
        ("LOCK.ACQUIRE k a 0", &[]),
        ("LOCK.RELEASE k a", &["0 k lock.release", "0 k del"]),
        ("LOCK.RELEASE k a", &[]),
        ("LOCK.ACQUIRE k a 1000000 SHARED", &["0 k lock.acquire"]),
        ("LOCK.ACQUIRE k b 1000000 SHARED", &["0 k lock.acquire"]),
        ("LOCK.RELEASE k a", &["0 k lock.release"]),
        ("LOCK.RELEASE k b", &["0 k lock.release", "0 k del"]),
        ("SELECT 3", &[]),
        ("LOCK.ACQUIRE k a 1000000", &["3 k lock.acquire"]),
        ("LOCK.RELEASE k a", &["3 k lock.release", "3 k del"]),
    ];
    for (line, expected) in script {
        let (reply, heard) = events_of(&mut client, &mut ears, line);
        assert_eq!(heard, *expected, "{line} → {reply:?}");
    }
}

#[test]
fn what_changes_nothing_gives_no_event() {
    let server = settled();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    let token = client.say(&format!("LOCK.ACQUIRE k a {HOUR} META m")).int();
    ears.heard();
    for line in [
        "LOCK.ACQUIRE k a 1000".to_string(),
        "LOCK.ACQUIRE k a 1000 META m".into(),
        "LOCK.EXTEND k a 1000".into(),
        format!("LOCK.EXTEND k a 1000 FENCE {token}"),
        "LOCK.MEXTEND 1 k a 1000".into(),
        "LOCK.MACQUIRE 1 k a 1000".into(),
    ] {
        let (reply, heard) = events_of(&mut client, &mut ears, &line);
        assert!(!reply.is_error() && !reply.is_nil(), "{line}: {reply:?}");
        assert_eq!(heard, [""; 0], "{line}");
    }
    let line = format!("LOCK.EXTEND k a 1000 FENCE {}", token + 5);
    let (reply, heard) = events_of(&mut client, &mut ears, &line);
    assert_eq!(reply, Reply::Int(token + 5));
    assert_eq!(heard, ["0 k lock.extend"], "a token that rises is a change");
}

#[test]
fn commands_on_several_keys_give_one_event_per_hold() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    let script: &[(&str, &[&str])] = &[
        ("LOCK.MACQUIRE 2 x y a 1000000", &["0 x lock.acquire", "0 y lock.acquire"]),
        ("LOCK.MACQUIRE 2 z y b 1000000", &[]),
        ("LOCK.MACQUIRE 3 x y z a 2000000", &["0 x lock.extend", "0 y lock.extend", "0 z lock.acquire"]),
        ("LOCK.MACQUIRE 3 x y x a 3000000", &["0 x lock.extend", "0 y lock.extend"]),
        ("LOCK.MEXTEND 2 x y a 3400000", &["0 x lock.extend", "0 y lock.extend"]),
        ("LOCK.MEXTEND 2 x free a 3500000", &[]),
        ("LOCK.MRELEASE 3 x free y b", &[]),
        ("LOCK.MRELEASE 4 x free y x a", &["0 x lock.release", "0 x del", "0 y lock.release", "0 y del"]),
    ];
    for (line, expected) in script {
        let (reply, mut heard) = events_of(&mut client, &mut ears, line);
        // Between keys no order is promised; a stable sort keeps it within each.
        heard.sort_by(|one, other| key_of(one).cmp(key_of(other)));
        assert_eq!(heard, *expected, "{line} → {reply:?}");
    }
}

fn key_of(event: &str) -> &str {
    event.rsplit_once(' ').map_or(event, |(key, _)| key)
}

#[test]
fn both_kinds_of_channel_carry_the_event() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    say_all(&mut client, &["SELECT 2", "LOCK.ACQUIRE k a 1000000"]);
    assert_eq!(ears.messages(), ["__keyspace@2__:k lock.acquire", "__keyevent@2__:lock.acquire k"]);
}

#[test]
fn lock_events_are_of_class_d_and_the_removal_of_the_key_of_class_g() {
    let server = Server::start();
    let mut client = server.connect();
    let cycle = ["LOCK.ACQUIRE k a 1000000", "LOCK.EXTEND k a 2000000", "LOCK.RELEASE k a"];
    let mut of_class = Ears::with_classes(&server, "Kd");
    say_all(&mut client, &cycle);
    assert_eq!(of_class.heard(), ["0 k lock.acquire", "0 k lock.extend", "0 k lock.release"]);
    let mut generic = Ears::with_classes(&server, "Kg");
    say_all(&mut client, &cycle);
    assert_eq!(generic.heard(), ["0 k del"]);
    let mut none = Ears::with_classes(&server, "");
    say_all(&mut client, &cycle);
    assert_eq!(none.heard(), [""; 0]);
}

#[test]
fn each_hold_that_expires_gives_its_event() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    client.pipeline([
        "LOCK.ACQUIRE one a 20".split(' '),
        "LOCK.ACQUIRE three a 20 SHARED".split(' '),
        "LOCK.ACQUIRE three b 20 SHARED".split(' '),
        "LOCK.ACQUIRE three c 30 SHARED".split(' '),
        "LOCK.ACQUIRE stays a 20 SHARED".split(' '),
        "LOCK.ACQUIRE stays b 3600000 SHARED".split(' '),
        "LOCK.ACQUIRE last a 60".split(' '),
    ]);
    let mut heard = ears.until("0 last del");
    heard.sort_by(|one, other| key_of(one).cmp(key_of(other)));
    assert_eq!(
        heard,
        [
            "0 last lock.acquire",
            "0 last lock.expired",
            "0 last del",
            "0 one lock.acquire",
            "0 one lock.expired",
            "0 one del",
            "0 stays lock.acquire",
            "0 stays lock.acquire",
            "0 stays lock.expired",
            "0 three lock.acquire",
            "0 three lock.acquire",
            "0 three lock.acquire",
            "0 three lock.expired",
            "0 three lock.expired",
            "0 three lock.expired",
            "0 three del",
        ]
    );
}

/// Runs `before`, lets 30 ms pass and runs `line`, as one transaction: no timer of the server can come in
/// between. Returns the reply to `line`.
fn after_30_ms(client: &mut Client, before: &[&str], line: &str) -> Reply {
    let mut commands = vec!["MULTI"];
    commands.extend(before);
    commands.extend(["DEBUG SLEEP 0.03", line, "EXEC"]);
    let replies = client.pipeline(commands.iter().map(|line| line.split(' ')));
    let executed = replies.last().expect("EXEC answers").array();
    executed.last().expect("the line's reply").clone()
}

fn events_after_deadline(server: &Server, before: &[&str], line: &str) -> (Reply, Vec<String>) {
    let (mut client, mut ears) = (server.connect(), Ears::on(server));
    client.say("FLUSHALL");
    let reply = after_30_ms(&mut client, before, line);
    (reply, ears.heard())
}

#[test]
fn a_hold_past_its_deadline_that_a_command_meets_first_expires_without_del() {
    let server = Server::start();
    let alone = ["LOCK.ACQUIRE k a 10"];
    let (reply, heard) = events_after_deadline(&server, &alone, "LOCK.ACQUIRE k b 3600000");
    assert!(reply.int() > 0);
    assert_eq!(heard, ["0 k lock.acquire", "0 k lock.expired", "0 k lock.acquire"]);

    let (reply, heard) = events_after_deadline(&server, &alone, "LOCK.ACQUIRE k a 3600000");
    assert!(reply.int() > 0);
    assert_eq!(heard, ["0 k lock.acquire", "0 k lock.expired", "0 k lock.acquire"]);

    let (reply, heard) = events_after_deadline(&server, &alone, "LOCK.MACQUIRE 1 k b 3600000");
    assert!(reply.int() > 0);
    assert_eq!(heard, ["0 k lock.acquire", "0 k lock.expired", "0 k lock.acquire"]);

    let two = ["LOCK.ACQUIRE k a 10 SHARED", "LOCK.ACQUIRE k b 3600000 SHARED"];
    let (reply, heard) = events_after_deadline(&server, &two, "LOCK.ACQUIRE k c 3600000");
    assert_eq!(reply, Reply::Nil);
    assert_eq!(heard, ["0 k lock.acquire", "0 k lock.acquire", "0 k lock.expired"]);
}

#[test]
fn a_late_release_or_extend_finds_the_hold_expired() {
    let server = Server::start();
    let alone = ["LOCK.ACQUIRE k a 10"];
    for line in
        ["LOCK.RELEASE k a", "LOCK.EXTEND k a 3600000", "LOCK.MRELEASE 1 k a", "LOCK.MEXTEND 1 k a 3600000"]
    {
        let (reply, heard) = events_after_deadline(&server, &alone, line);
        assert_eq!(reply, Reply::Int(0), "{line}");
        assert_eq!(heard, ["0 k lock.acquire", "0 k lock.expired", "0 k del"], "{line}");
    }
}

#[test]
fn a_script_that_runs_past_a_deadline_meets_the_expired_hold() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    // The server's time may stand still in a script, that of locks does not.
    let script = "redis.call('LOCK.ACQUIRE', KEYS[1], 'a', 10)
        repeat until redis.call('LOCK.TTL', KEYS[1]) == -2
        return redis.call('LOCK.ACQUIRE', KEYS[1], 'b', 3600000)";
    let reply = client.run(["EVAL", script, "1", "k"]);
    assert!(matches!(reply, Reply::Int(token) if token > 0), "{reply:?}");
    assert_eq!(ears.heard(), ["0 k lock.acquire", "0 k lock.expired", "0 k lock.acquire"]);
}

#[test]
fn core_commands_give_cores_events_only() {
    let server = Server::start();
    let (mut client, mut ears) = (server.connect(), Ears::on(&server));
    let cases: &[(&str, &[&str])] = &[
        ("DEL k", &["0 k del"]),
        ("UNLINK k", &["0 k del"]),
        ("SET k v", &["0 k set"]),
        ("RENAME k l", &["0 k rename_from", "0 l rename_to"]),
        ("MOVE k 1", &["0 k move_from", "1 k move_to"]),
        ("EXPIRE k 1000", &["0 k expire"]),
        ("FLUSHALL", &[]),
        ("FLUSHDB ASYNC", &[]),
        ("SWAPDB 0 1", &[]),
        ("DEBUG RELOAD", &[]),
    ];
    for (line, expected) in cases {
        say_all(
            &mut client,
            &["FLUSHALL", "LOCK.ACQUIRE k a 1000000 SHARED", "LOCK.ACQUIRE k b 1000000 SHARED"],
        );
        ears.heard();
        let (reply, heard) = events_of(&mut client, &mut ears, line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
        assert_eq!(heard, *expected, "{line}");
    }
    say_all(&mut client, &["FLUSHALL", "LOCK.ACQUIRE k a 1000000"]);
    ears.heard();
    let (_, heard) = events_of(&mut client, &mut ears, "PEXPIRE k -1");
    // Which of the two depends on the server.
    assert!(heard == ["0 k del"] || heard == ["0 k expired"], "{heard:?}");
}

#[test]
fn a_replica_gives_the_same_events() {
    let server = Server::builder().tcp().start();
    let replica = server.replica();
    let (mut here, mut there) = (Ears::on(&server), Ears::on(&replica));
    let mut client = server.connect();
    say_all(
        &mut client,
        &[
            "LOCK.ACQUIRE k a 1000000",
            "LOCK.ACQUIRE k b 1000000",
            "LOCK.ACQUIRE k a 2000000",
            "LOCK.EXTEND k a 3000000",
            "LOCK.EXTEND k a 1000",
            "LOCK.RELEASE k a",
            "LOCK.RELEASE k a",
            "LOCK.ACQUIRE s a 1000000 SHARED",
            "LOCK.ACQUIRE s b 1000000 SHARED",
            "LOCK.RELEASE s a",
            "LOCK.MACQUIRE 3 x y z a 1000000",
            "LOCK.MEXTEND 2 x y a 2000000",
            "LOCK.MACQUIRE 2 x w a 3000000",
            "LOCK.MRELEASE 2 x y a",
            "DEL z",
            "RENAME w v",
            "SELECT 1",
            "LOCK.ACQUIRE short a 20",
        ],
    );
    let mut heard = here.until("1 short del");
    let late = after_30_ms(&mut client, &["LOCK.ACQUIRE k a 10"], "LOCK.ACQUIRE k b 1000000");
    assert!(late.int() > 0);
    heard.extend(here.heard());
    assert!(heard.ends_with(&[
        "1 k lock.acquire".into(),
        "1 k lock.expired".into(),
        "1 k lock.acquire".into()
    ]));
    server.wait_synced(&replica);
    let mut copied = Vec::new();
    eventually(Duration::from_secs(20), || {
        copied.extend(there.heard());
        copied.len() >= heard.len()
    });
    assert_eq!(copied, heard);
}
