//! A lock under commands for other types, and LOCK commands on keys of other types.

use super::{assert_counted, counts, crowd, say_all, HOUR};
use crate::support::{holds, Say};
use redis_lock_harness::{Reply, Server};

const WRONGTYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

/// One or two of each type, and all that `matrix.rs` can't try: that no command at all changes a lock.
const FOR_OTHER_TYPES: &[&str] = &[
    "GET lock",
    "SET lock v GET",
    "SET lock v XX GET",
    "GETDEL lock",
    "INCR lock",
    "SETBIT lock 0 1",
    "BITOP AND target lock string",
    "BITOP NOT target lock",
    "LPUSH lock v",
    "LINSERT lock BEFORE v w",
    "LMOVE lock target LEFT LEFT",
    "LMOVE list lock LEFT LEFT",
    "LMPOP 1 lock LEFT",
    "BLMOVE lock target LEFT LEFT 1",
    "BLMPOP 1 1 lock LEFT",
    "BLPOP lock 1",
    "SORT lock STORE target",
    "SADD lock v",
    "SMOVE set lock 1",
    "SUNIONSTORE target lock",
    "SINTERSTORE target lock",
    "SDIFFSTORE target lock",
    "HSET lock f v",
    "HGETALL lock",
    "ZADD lock 1 m",
    "ZMPOP 1 lock MIN",
    "ZRANGEBYLEX lock - +",
    "ZUNIONSTORE target 1 lock",
    "ZINTERSTORE target 1 lock",
    "ZDIFFSTORE target 1 lock",
    "ZRANGESTORE target lock 0 -1",
    "XADD lock * f v",
    "XREAD STREAMS lock 0",
    "XTRIM lock MAXLEN 0",
    "PFADD lock v",
    "PFMERGE target lock",
    "GEOADD lock 1 1 m",
    "GEOSEARCHSTORE target lock FROMLONLAT 1 1 BYRADIUS 1 km",
];

#[test]
fn commands_for_other_types_are_refused_and_change_nothing() {
    let server = Server::start();
    let mut client = server.connect();
    say_all(&mut client, &["SET string v", "RPUSH list 1", "SADD set 1"]);
    let held = crowd(&mut client, "lock");
    let before = counts(&server);
    for line in FOR_OTHER_TYPES {
        assert_eq!(client.say(line), Reply::error(WRONGTYPE), "{line}");
        assert_eq!(holds(&mut client, "lock"), held, "{line}");
    }
    assert_eq!(client.say("MGET lock"), Reply::Array(vec![Reply::Nil]));
    assert_eq!(client.say("EXISTS target"), Reply::Int(0));
    assert_counted(&server, &before, &[], "refused commands");
}

#[test]
fn a_lock_can_not_be_copied() {
    let server = Server::start();
    let mut client = server.connect();
    let held = crowd(&mut client, "lock");
    let other = crowd(&mut client, "other");
    client.say("SET string v");
    let before = counts(&server);
    for line in [
        "COPY lock target",
        "COPY lock target DB 1",
        "COPY lock target REPLACE",
        "COPY lock string REPLACE",
        "COPY lock other REPLACE",
    ] {
        let reply = client.say(line);
        assert!(reply.is_error(), "{line}: {reply:?}");
        assert_counted(&server, &before, &[], line);
    }
    assert_eq!(client.say("COPY lock other"), Reply::Int(0));
    assert_eq!(client.say("COPY string lock"), Reply::Int(0));
    assert_eq!(holds(&mut client, "lock"), held);
    assert_eq!(holds(&mut client, "other"), other);
    assert_eq!(client.say("GET string"), Reply::bulk("v"));
    assert_eq!(client.say("EXISTS target"), Reply::Int(0));
    client.say("SELECT 1");
    assert_eq!(client.say("DBSIZE"), Reply::Int(0));
}

#[test]
fn lock_commands_leave_keys_of_other_types_as_they_are() {
    let server = Server::start();
    let mut client = server.connect();
    let makers = [
        "SET other v PX 1000000",
        "RPUSH other 1 2",
        "SADD other 1 2",
        "HSET other f v",
        "ZADD other 1 m",
        "XADD other 1-1 f v",
    ];
    for maker in makers {
        say_all(&mut client, &["DEL other", maker]);
        let (dump, before) = (client.say("DUMP other"), counts(&server));
        for line in on_key("other") {
            assert_eq!(client.say(&line), Reply::error(WRONGTYPE), "{line} after {maker}");
        }
        assert_eq!(client.say("DUMP other"), dump, "after {maker}");
        assert_eq!(client.say("PTTL other").int() > 0, maker.contains("PX"));
        assert_eq!(client.say("DBSIZE"), Reply::Int(1), "after {maker}");
        assert_counted(&server, &before, &[], maker);
    }
}

/// Every command on one key, those on several also with a free key before and behind.
fn on_key(key: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in [
        format!("ACQUIRE KEY a {HOUR}"),
        format!("ACQUIRE KEY a {HOUR} SHARED FENCE 5 META m"),
        "RELEASE KEY a".into(),
        format!("EXTEND KEY a {HOUR}"),
        "OWNER KEY".into(),
        "TTL KEY".into(),
        "INFO KEY".into(),
        "CHECK KEY 1".into(),
    ] {
        lines.push(format!("LOCK.{}", line.replace("KEY", key)));
    }
    for keys in [format!("1 {key}"), format!("2 free {key}"), format!("2 {key} free")] {
        lines.push(format!("LOCK.MACQUIRE {keys} a {HOUR}"));
        lines.push(format!("LOCK.MEXTEND {keys} a {HOUR}"));
        lines.push(format!("LOCK.MRELEASE {keys} a"));
    }
    lines
}
