//! Every row of the table of errors, for every command that it applies to.

use super::*;

const COMMANDS: [(&str, &str); 10] = [
    ("LOCK.ACQUIRE", "mine me 1000"),
    ("LOCK.RELEASE", "mine me"),
    ("LOCK.EXTEND", "mine me 1000"),
    ("LOCK.OWNER", "mine"),
    ("LOCK.TTL", "mine"),
    ("LOCK.INFO", "mine"),
    ("LOCK.CHECK", "mine 1"),
    ("LOCK.MACQUIRE", "1 mine me 1000"),
    ("LOCK.MEXTEND", "1 mine me 1000"),
    ("LOCK.MRELEASE", "1 mine me"),
];

/// What is no integer, or not one of 64 bits.
const NO_NUMBERS: [&str; 19] = [
    "<empty>",
    "<nul>",
    "<binary>",
    "<space>",
    "<format>",
    "<70000>",
    "-",
    "+1",
    "01",
    "-0",
    "1.0",
    "1e3",
    "0x10",
    "1000ms",
    "abc",
    "--1",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
];

#[test]
fn wrong_number_of_arguments() {
    let mut place = Place::new();
    for (command, arguments) in COMMANDS {
        let words: Vec<&str> = arguments.split(' ').collect();
        for count in 0..words.len() {
            place.refuses(&format!("{command} {}", words[..count].join(" ")), &arity(command));
        }
    }
    for line in ["RELEASE mine me x", "OWNER mine x", "TTL mine x", "INFO mine x", "CHECK mine 1 x"] {
        let command = format!("LOCK.{}", line.split(' ').next().expect("a name"));
        place.refuses(&format!("LOCK.{line}"), &arity(&command));
    }
}

#[test]
fn unknown_doubled_or_contradicting_options() {
    let mut place = Place::new();
    let both = [
        "BOGUS",
        "SHAREDX",
        "<empty>",
        "<nul>",
        "<binary>",
        "<70000>",
        "1",
        "LIMIT",
        "FENCE",
        "META",
        "LIMIT 1 2",
        "META a b",
        "SHARED LIMIT 1",
        "LIMIT 1 SHARED",
        "SHARED SHARED",
        "LIMIT 1 LIMIT 1",
        "SESSION SESSION",
        "FENCE 1 FENCE 1",
        "META a META a",
        "shared Limit 1",
        "NX",
        "EX 10",
    ];
    for options in both {
        place.refuses(&format!("LOCK.ACQUIRE free me 1000 {options}"), SYNTAX);
        place.refuses(&format!("LOCK.MACQUIRE 1 free me 1000 {options}"), SYNTAX);
    }
    for options in ["BLOCK", "BLOCK 1 BLOCK 1", "BLOCK 1 2"] {
        place.refuses(&format!("LOCK.ACQUIRE free me 1000 {options}"), SYNTAX);
    }
    place.refuses("LOCK.MACQUIRE 1 free me 1000 BLOCK 1", SYNTAX);
    for options in ["BOGUS", "<empty>", "FENCE", "FENCE 1 FENCE 1", "SHARED", "META a", "LIMIT 1", "SESSION"]
    {
        place.refuses(&format!("LOCK.EXTEND mine me 1000 {options}"), SYNTAX);
        place.refuses(&format!("LOCK.MEXTEND 1 mine me 1000 {options}"), SYNTAX);
    }
    place.refuses("LOCK.MRELEASE 1 mine me BOGUS", SYNTAX);
}

#[test]
fn numkeys_below_1_or_more_than_there_are() {
    let mut place = Place::new();
    for count in ["0", "-1", "3", "4", "1000000", "2147483648", "9223372036854775807", "-9223372036854775808"]
    {
        place.refuses(&format!("LOCK.MACQUIRE {count} mine free me 1000"), SYNTAX);
        place.refuses(&format!("LOCK.MEXTEND {count} mine free me 1000"), SYNTAX);
        place.refuses(&format!("LOCK.MRELEASE {count} mine free me"), SYNTAX);
    }
}

#[test]
fn session_in_a_script() {
    let mut place = Place::new();
    place.refuses_in_script("LOCK.ACQUIRE free me 1000 SESSION", SESSION);
    place.refuses_in_script("LOCK.ACQUIRE mine me 1000 session", SESSION);
    place.refuses_in_script("LOCK.MACQUIRE 1 free me 1000 SESSION", SESSION);
    let script = "return redis.call('LOCK.ACQUIRE', KEYS[1], 'me', '600000')";
    assert!(place.client.run(["EVAL", script, "1", "free"]).int() > 0, "without SESSION it may");
}

#[test]
fn what_is_no_number() {
    let mut place = Place::new();
    for no in NO_NUMBERS {
        for line in [
            format!("LOCK.ACQUIRE free me {no}"),
            format!("LOCK.ACQUIRE free me 1000 LIMIT {no}"),
            format!("LOCK.ACQUIRE free me 1000 BLOCK {no}"),
            format!("LOCK.ACQUIRE free me 1000 FENCE {no}"),
            format!("LOCK.EXTEND mine me {no}"),
            format!("LOCK.EXTEND mine me 1000 FENCE {no}"),
            format!("LOCK.CHECK mine {no}"),
            format!("LOCK.MACQUIRE {no} free me 1000"),
            format!("LOCK.MACQUIRE 1 free me {no}"),
            format!("LOCK.MACQUIRE 1 free me 1000 LIMIT {no}"),
            format!("LOCK.MACQUIRE 1 free me 1000 FENCE {no}"),
            format!("LOCK.MEXTEND {no} mine me 1000"),
            format!("LOCK.MEXTEND 1 mine me {no}"),
            format!("LOCK.MEXTEND 1 mine me 1000 FENCE {no}"),
            format!("LOCK.MRELEASE {no} mine me"),
        ] {
            place.refuses(&line, NUMBER);
        }
    }
}

#[test]
fn a_ttl_outside_its_range() {
    let mut place = Place::new();
    for ttl in ["0", "-1", "86400001", "9223372036854775807", "-9223372036854775808"] {
        for line in ["ACQUIRE free me", "EXTEND mine me", "MACQUIRE 1 free me", "MEXTEND 1 mine me"] {
            place.refuses(&format!("LOCK.{line} {ttl}"), TTL);
        }
    }
    assert_eq!(place.client.say("CONFIG SET lock.max-ttl 5000"), Reply::ok());
    let configured = "ERR ttl must be between 1 and 5000 milliseconds";
    for line in ["ACQUIRE free me", "EXTEND mine me", "MACQUIRE 1 free me", "MEXTEND 1 mine me"] {
        place.refuses(&format!("LOCK.{line} 5001"), configured);
    }
    assert!(place.client.say("LOCK.ACQUIRE free me 5000").int() > 0);
}

#[test]
fn a_limit_outside_its_range() {
    let mut place = Place::new();
    for limit in ["0", "-1", "10001", "4294967297", "9223372036854775807", "-9223372036854775808"] {
        place.refuses(&format!("LOCK.ACQUIRE free me 1000 LIMIT {limit}"), LIMIT);
        place.refuses(&format!("LOCK.MACQUIRE 1 free me 1000 LIMIT {limit}"), LIMIT);
    }
}

#[test]
fn a_wait_outside_its_range() {
    let mut place = Place::new();
    for negative in ["-1", "-9223372036854775808"] {
        place.refuses(&format!("LOCK.ACQUIRE free me 1000 BLOCK {negative}"), NEGATIVE);
    }
    place.refuses("LOCK.ACQUIRE free me 1000 BLOCK 9223372036854775807", TOO_LONG);
    place.refuses("LOCK.ACQUIRE theirs me 1000 BLOCK 9223372036854775807", TOO_LONG);
}

#[test]
fn an_empty_or_too_long_owner() {
    let mut place = Place::new();
    for owner in ["<empty>", "<513>", "<70000>"] {
        for line in [
            format!("ACQUIRE free {owner} 1000"),
            format!("RELEASE mine {owner}"),
            format!("EXTEND mine {owner} 1000"),
            format!("MACQUIRE 2 free mine {owner} 1000"),
            format!("MEXTEND 2 free mine {owner} 1000"),
            format!("MRELEASE 2 free mine {owner}"),
        ] {
            place.refuses(&format!("LOCK.{line}"), OWNER);
        }
    }
}

#[test]
fn a_too_long_meta() {
    let mut place = Place::new();
    for meta in ["<513>", "<70000>"] {
        place.refuses(&format!("LOCK.ACQUIRE free me 1000 META {meta}"), META);
        place.refuses(&format!("LOCK.ACQUIRE mine me 1000 META {meta}"), META);
        place.refuses(&format!("LOCK.MACQUIRE 1 free me 1000 META {meta}"), META);
    }
}

#[test]
fn a_token_not_positive_or_too_far_ahead() {
    let mut place = Place::new();
    let fenced = [
        "ACQUIRE free me 1000",
        "ACQUIRE mine me 1000",
        "ACQUIRE theirs me 1000",
        "ACQUIRE theirs me 1000 BLOCK 1",
        "EXTEND mine me 1000",
        "EXTEND free me 1000",
        "MACQUIRE 2 free mine me 1000",
        "MACQUIRE 2 free theirs me 1000",
        "MEXTEND 1 mine me 1000",
        "MEXTEND 2 mine free me 1000",
    ];
    for line in fenced {
        for token in ["0", "-1", "-9223372036854775808"] {
            place.refuses(&format!("LOCK.{line} FENCE {token}"), TOKEN);
        }
        for token in ["<far>", "9007199254740992", "9223372036854775807"] {
            place.refuses(&format!("LOCK.{line} FENCE {token}"), TOO_FAR);
        }
    }
    for token in ["0", "-1", "-9223372036854775808"] {
        place.refuses(&format!("LOCK.CHECK mine {token}"), TOKEN);
    }
    place.refuses("LOCK.CHECK mine 9223372036854775807", "FENCED token 9223372036854775807 is not held");
}

#[test]
fn a_key_of_another_type() {
    let mut place = Place::new();
    for line in [
        "ACQUIRE string me 1000",
        "RELEASE string me",
        "EXTEND string me 1000",
        "EXTEND string me 1000 FENCE 1",
        "OWNER string",
        "TTL string",
        "INFO string",
        "CHECK string 1",
        "MACQUIRE 2 free string me 1000",
        "MEXTEND 2 mine string me 1000",
        "MRELEASE 2 mine string me",
    ] {
        place.refuses(&format!("LOCK.{line}"), WRONGTYPE);
    }
    assert_eq!(place.client.say("GET string"), Reply::bulk("value"));
}

#[test]
fn another_limit_than_the_holds() {
    let mut place = Place::new();
    for (key, limits) in [("mine", ["SHARED", "LIMIT 2"]), ("semaphore", ["SHARED", "LIMIT 1"])] {
        for limit in limits {
            place.refuses(&format!("LOCK.ACQUIRE {key} me 1000 {limit}"), OTHER_LIMIT);
            place.refuses(&format!("LOCK.ACQUIRE {key} me 1000 {limit} BLOCK 1"), OTHER_LIMIT);
            place.refuses(&format!("LOCK.MACQUIRE 1 {key} me 1000 {limit}"), OTHER_LIMIT);
            place.refuses(&format!("LOCK.MACQUIRE 2 free {key} me 1000 {limit}"), OTHER_LIMIT);
        }
    }
    place.refuses("LOCK.ACQUIRE semaphore me 1000", OTHER_LIMIT);
}
