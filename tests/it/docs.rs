//! What COMMAND says about the commands.

use crate::support::Say;
use redis_lock_harness::{Client, Reply, Server};

/// A command as COMMAND must show it.
struct Command {
    name: &'static str,
    arity: i64,
    flags: &'static [&'static str],
    /// The key spec's flags; whether the keys are counted by the argument before them.
    keys: (&'static [&'static str], bool),
    /// Each argument: name, type, then `token` and `optional` or `multiple` where they apply.
    arguments: &'static [&'static str],
}

const UPDATE: &[&str] = &["RW", "update"];
const DELETE: &[&str] = &["RW", "delete"];
const ACCESS: &[&str] = &["RO", "access"];

const COMMANDS: [Command; 10] = [
    Command {
        name: "lock.acquire",
        arity: -4,
        flags: &["blocking", "denyoom", "write"],
        keys: (UPDATE, false),
        arguments: &[
            "key key",
            "owner string",
            "ttl-ms integer",
            "oneof optional (pure-token SHARED | integer LIMIT)",
            "integer BLOCK optional",
            "pure-token SESSION optional",
            "integer FENCE optional",
            "string META optional",
        ],
    },
    Command {
        name: "lock.release",
        arity: 3,
        flags: &["fast", "write"],
        keys: (DELETE, false),
        arguments: &["key key", "owner string"],
    },
    Command {
        name: "lock.extend",
        arity: -4,
        flags: &["fast", "write"],
        keys: (UPDATE, false),
        arguments: &["key key", "owner string", "ttl-ms integer", "integer FENCE optional"],
    },
    Command {
        name: "lock.owner",
        arity: 2,
        flags: &["fast", "readonly"],
        keys: (ACCESS, false),
        arguments: &["key key"],
    },
    Command {
        name: "lock.ttl",
        arity: 2,
        flags: &["fast", "readonly"],
        keys: (ACCESS, false),
        arguments: &["key key"],
    },
    Command {
        name: "lock.info",
        arity: 2,
        flags: &["readonly"],
        keys: (ACCESS, false),
        arguments: &["key key"],
    },
    Command {
        name: "lock.check",
        arity: 3,
        flags: &["fast", "readonly"],
        keys: (ACCESS, false),
        arguments: &["key key", "token integer"],
    },
    Command {
        name: "lock.macquire",
        arity: -5,
        flags: &["denyoom", "write"],
        keys: (UPDATE, true),
        arguments: &[
            "numkeys integer",
            "key key multiple",
            "owner string",
            "ttl-ms integer",
            "oneof optional (pure-token SHARED | integer LIMIT)",
            "pure-token SESSION optional",
            "integer FENCE optional",
            "string META optional",
        ],
    },
    Command {
        name: "lock.mextend",
        arity: -5,
        flags: &["write"],
        keys: (UPDATE, true),
        arguments: &[
            "numkeys integer",
            "key key multiple",
            "owner string",
            "ttl-ms integer",
            "integer FENCE optional",
        ],
    },
    Command {
        name: "lock.mrelease",
        arity: -4,
        flags: &["write"],
        keys: (DELETE, true),
        arguments: &["numkeys integer", "key key multiple", "owner string"],
    },
];

fn texts(reply: &Reply) -> Vec<String> {
    reply.array().iter().map(|item| item.text().to_string()).collect()
}

#[test]
fn the_commands_of_the_module_are_these() {
    let server = Server::start();
    let mut found = texts(&server.connect().say("COMMAND LIST FILTERBY MODULE lock"));
    found.sort();
    let mut expected: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
    expected.extend(["lock._hold", "lock._drop", "lock._last", "lock._probe"]);
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn flags_and_arity_are_as_documented() {
    let server = Server::start();
    let mut client = server.connect();
    for command in COMMANDS {
        let info = info(&mut client, command.name);
        assert_eq!(info[1], Reply::Int(command.arity), "{}", command.name);
        let mut flags = texts(&info[2]);
        // What servers add to every command of a module, and to one whose keys are counted.
        flags.retain(|flag| flag != "module" && flag != "movablekeys");
        flags.sort();
        assert_eq!(flags, command.flags, "{}", command.name);
    }
    for name in ["lock._hold", "lock._drop", "lock._last", "lock._probe"] {
        let flags = texts(&info(&mut client, name)[2]);
        assert!(flags.contains(&"admin".into()) && flags.contains(&"write".into()), "{name}: {flags:?}");
    }
}

fn info(client: &mut Client, name: &str) -> Vec<Reply> {
    let reply = client.say(&format!("COMMAND INFO {name}"));
    reply.array()[0].array().to_vec()
}

#[test]
fn key_specs_say_where_the_keys_are_and_what_becomes_of_them() {
    let server = Server::start();
    let mut client = server.connect();
    for Command { name, keys: (flags, counted), .. } in COMMANDS {
        let info = info(&mut client, name);
        let [spec] = info[8].array() else { panic!("{name} has one key spec: {:?}", info[8]) };
        assert_eq!(texts(spec.get("flags")), *flags, "{name}");
        let begin = spec.get("begin_search");
        assert_eq!(begin.get("type").text(), "index", "{name}");
        assert_eq!(begin.get("spec").get("index"), &Reply::Int(1), "{name}");
        let find = spec.get("find_keys");
        let numbers = |names: [&str; 3]| names.map(|name| find.get("spec").get(name).int());
        if counted {
            assert_eq!(find.get("type").text(), "keynum", "{name}");
            assert_eq!(numbers(["keynumidx", "firstkey", "keystep"]), [0, 1, 1], "{name}");
        } else {
            assert_eq!(find.get("type").text(), "range", "{name}");
            assert_eq!(numbers(["lastkey", "keystep", "limit"]), [0, 1, 0], "{name}");
            assert_eq!(info[3..6], [1, 1, 1].map(Reply::Int), "{name}: first, last, step");
        }
    }
}

#[test]
fn docs_have_summary_since_complexity_and_group() {
    let server = Server::start();
    let mut client = server.connect();
    for Command { name, .. } in COMMANDS {
        let docs = docs(&mut client, name);
        let summary = docs.get("summary").text();
        assert!(summary.len() > 20 && summary.ends_with('.'), "{name}: {summary}");
        let since = docs.get("since").text();
        assert_eq!(since.split('.').count(), 3, "{name}: {since}");
        assert!(docs.get("complexity").text().starts_with("O("), "{name}");
        assert_eq!(docs.get("group").text(), "module", "{name}");
        assert_eq!(docs.get("module").text(), "lock", "{name}");
    }
}

fn docs(client: &mut Client, name: &str) -> Reply {
    let reply = client.say(&format!("COMMAND DOCS {name}"));
    reply.get(name).clone()
}

#[test]
fn docs_show_every_argument() {
    let server = Server::start();
    let mut client = server.connect();
    for command in COMMANDS {
        let docs = docs(&mut client, command.name);
        let shown: Vec<String> = docs.get("arguments").array().iter().map(argument).collect();
        assert_eq!(shown, command.arguments, "{}", command.name);
    }
}

/// An argument in a line. Those with a word before them go by that word, not by their name.
fn argument(argument: &Reply) -> String {
    let field = |name: &str| argument.find(name).map(|value| value.text().to_string());
    let kind = field("type").expect("an argument has a type");
    let name = field("name").expect("an argument has a name");
    assert!(!name.is_empty() && name == name.to_lowercase(), "{name}");
    let mut shown = match field("token") {
        Some(token) => vec![kind, token],
        None if kind == "oneof" => vec![kind],
        None => vec![name, kind],
    };
    if let Some(flags) = argument.find("flags") {
        shown.extend(texts(flags));
    }
    if let Some(inner) = argument.find("arguments") {
        let inner: Vec<String> = inner.array().iter().map(self::argument).collect();
        shown.push(format!("({})", inner.join(" | ")));
    }
    shown.join(" ")
}

#[test]
fn getkeys_finds_the_keys() {
    let server = Server::start();
    let mut client = server.connect();
    for (line, keys) in [
        ("LOCK.ACQUIRE k a 1000 LIMIT 2", &["k"][..]),
        ("LOCK.RELEASE k a", &["k"]),
        ("LOCK.EXTEND k a 1000", &["k"]),
        ("LOCK.OWNER k", &["k"]),
        ("LOCK.TTL k", &["k"]),
        ("LOCK.INFO k", &["k"]),
        ("LOCK.CHECK k 1", &["k"]),
        ("LOCK.MACQUIRE 1 k a 1000", &["k"]),
        ("LOCK.MACQUIRE 3 x y z a 1000 META m", &["x", "y", "z"]),
        ("LOCK.MEXTEND 2 x y a 1000 FENCE 5", &["x", "y"]),
        ("LOCK.MRELEASE 2 x y a", &["x", "y"]),
        ("LOCK._HOLD k a 1000 1", &["k"]),
        ("LOCK._DROP k EXPIRED a", &["k"]),
    ] {
        let found = client.say(&format!("COMMAND GETKEYS {line}"));
        assert_eq!(texts(&found), keys, "{line}");
    }
    for line in ["LOCK.MACQUIRE 9 x y a 1000", "LOCK.MRELEASE 0 x a", "LOCK._LAST 5"] {
        let refused = client.say(&format!("COMMAND GETKEYS {line}"));
        assert!(refused.is_error(), "{line}: {refused:?}");
    }
}

#[test]
fn getkeysandflags_tells_readers_from_writers() {
    let server = Server::start();
    let mut client = server.connect();
    for (line, flags) in
        [("LOCK.MACQUIRE 2 x y a 1000", UPDATE), ("LOCK.RELEASE x a", DELETE), ("LOCK.OWNER x", ACCESS)]
    {
        let found = client.say(&format!("COMMAND GETKEYSANDFLAGS {line}"));
        for key in found.array() {
            assert_eq!(texts(&key.array()[1]), flags, "{line}");
        }
        assert_eq!(found.array()[0].array()[0], Reply::bulk("x"));
    }
}
