//! A lock under commands for other types, and LOCK commands on keys of other types.

use super::{assert_counted, counts, crowd, say_all, HOUR};
use crate::support::{holds, Say};
use redis_lock_harness::{Reply, Server};

const WRONGTYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

/// Commands for other types, or that would read the lock as one of them.
const FOR_OTHER_TYPES: &[&str] = &[
    "GET lock",
    "GETSET lock v",
    "SET lock v GET",
    "SET lock v XX GET",
    "GETDEL lock",
    "GETEX lock",
    "GETEX lock PX 1",
    "APPEND lock v",
    "STRLEN lock",
    "GETRANGE lock 0 -1",
    "SUBSTR lock 0 -1",
    "SETRANGE lock 0 v",
    "INCR lock",
    "DECR lock",
    "INCRBY lock 2",
    "DECRBY lock 2",
    "INCRBYFLOAT lock 1.5",
    "GETBIT lock 0",
    "SETBIT lock 0 1",
    "BITCOUNT lock",
    "BITPOS lock 1",
    "BITFIELD lock GET u8 0",
    "BITFIELD lock SET u8 0 1",
    "BITFIELD_RO lock GET u8 0",
    "BITOP AND target lock string",
    "BITOP NOT target lock",
    "LPUSH lock v",
    "RPUSH lock v",
    "LPUSHX lock v",
    "RPUSHX lock v",
    "LPOP lock",
    "RPOP lock",
    "LLEN lock",
    "LINDEX lock 0",
    "LRANGE lock 0 -1",
    "LSET lock 0 v",
    "LTRIM lock 0 0",
    "LREM lock 0 v",
    "LPOS lock v",
    "LINSERT lock BEFORE v w",
    "LMOVE lock target LEFT LEFT",
    "LMOVE list lock LEFT LEFT",
    "RPOPLPUSH lock target",
    "RPOPLPUSH list lock",
    "LMPOP 1 lock LEFT",
    "BLPOP lock 1",
    "BRPOP lock 1",
    "BLMOVE lock target LEFT LEFT 1",
    "BLMPOP 1 1 lock LEFT",
    "SORT lock",
    "SORT_RO lock",
    "SORT lock STORE target",
    "SADD lock v",
    "SREM lock v",
    "SCARD lock",
    "SMEMBERS lock",
    "SISMEMBER lock v",
    "SMISMEMBER lock v",
    "SPOP lock",
    "SRANDMEMBER lock",
    "SSCAN lock 0",
    "SMOVE lock target v",
    "SMOVE set lock 1",
    "SINTER lock set",
    "SUNION lock set",
    "SDIFF lock set",
    "SINTERCARD 1 lock",
    "SUNIONSTORE target lock",
    "SINTERSTORE target lock",
    "SDIFFSTORE target lock",
    "HSET lock f v",
    "HSETNX lock f v",
    "HGET lock f",
    "HMGET lock f",
    "HMSET lock f v",
    "HGETALL lock",
    "HDEL lock f",
    "HLEN lock",
    "HEXISTS lock f",
    "HKEYS lock",
    "HVALS lock",
    "HSTRLEN lock f",
    "HINCRBY lock f 1",
    "HINCRBYFLOAT lock f 1",
    "HRANDFIELD lock",
    "HSCAN lock 0",
    "ZADD lock 1 m",
    "ZINCRBY lock 1 m",
    "ZREM lock m",
    "ZCARD lock",
    "ZSCORE lock m",
    "ZRANGE lock 0 -1",
    "ZRANGEBYSCORE lock 0 1",
    "ZRANGEBYLEX lock - +",
    "ZRANK lock m",
    "ZCOUNT lock 0 1",
    "ZPOPMIN lock",
    "ZPOPMAX lock",
    "BZPOPMIN lock 1",
    "ZMPOP 1 lock MIN",
    "ZRANDMEMBER lock",
    "ZSCAN lock 0",
    "ZREMRANGEBYRANK lock 0 -1",
    "ZUNION 1 lock",
    "ZINTER 1 lock",
    "ZDIFF 1 lock",
    "ZUNIONSTORE target 1 lock",
    "ZINTERSTORE target 1 lock",
    "ZDIFFSTORE target 1 lock",
    "ZRANGESTORE target lock 0 -1",
    "XADD lock * f v",
    "XLEN lock",
    "XRANGE lock - +",
    "XDEL lock 1-1",
    "XTRIM lock MAXLEN 0",
    "XREAD STREAMS lock 0",
    "XGROUP CREATE lock g 0",
    "XACK lock g 1-1",
    "XINFO STREAM lock",
    "PFADD lock v",
    "PFCOUNT lock",
    "PFMERGE lock hll",
    "PFMERGE target lock",
    "GEOADD lock 1 1 m",
    "GEOPOS lock m",
    "GEOSEARCH lock FROMLONLAT 1 1 BYRADIUS 1 km",
    "GEORADIUS lock 1 1 1 km",
    "GEOSEARCHSTORE target lock FROMLONLAT 1 1 BYRADIUS 1 km",
];

#[test]
fn commands_for_other_types_are_refused_and_change_nothing() {
    let server = Server::start();
    let mut client = server.connect();
    say_all(&mut client, &["SET string v", "RPUSH list 1", "SADD set 1", "PFADD hll v"]);
    let held = crowd(&mut client, "lock");
    let before = counts(&server);
    for line in FOR_OTHER_TYPES {
        assert_eq!(client.say(line), Reply::error(WRONGTYPE), "{line}");
        assert_eq!(holds(&mut client, "lock"), held, "{line}");
    }
    let lcs = client.say("LCS lock string");
    assert!(lcs.is_error(), "{lcs:?}");
    assert_eq!(client.say("MGET lock"), Reply::Array(vec![Reply::Nil]));
    assert_eq!(client.say("EXISTS target"), Reply::Int(0));
    assert_eq!(client.say("TTL lock"), Reply::Int(-1));
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

#[test]
fn a_lock_of_an_older_client_excludes_this_one_and_the_other_way_round() {
    let server = Server::start();
    let mut client = server.connect();
    say_all(&mut client, &["SET older random NX PX 1000000"]);
    assert_eq!(client.say("LOCK.ACQUIRE older a 1000"), Reply::error(WRONGTYPE));
    assert_eq!(client.say("GET older"), Reply::bulk("random"));
    client.take("newer", "a", "");
    assert_eq!(client.say("SET newer random NX PX 1000"), Reply::Nil);
    assert_eq!(client.say("LOCK.OWNER newer"), Reply::bulk("a"));
}

#[test]
fn m_commands_refuse_before_they_change_the_locks_beside() {
    let server = Server::start();
    let mut client = server.connect();
    client.say("SET string v");
    let token = client.take("mine", "a", "");
    client.take("theirs", "b", "");
    let (held, before) = (holds(&mut client, "mine"), counts(&server));
    for line in [
        format!("LOCK.MACQUIRE 2 mine string a {HOUR} FENCE {}", token + 9),
        format!("LOCK.MACQUIRE 3 theirs mine string a {HOUR}"),
        format!("LOCK.MEXTEND 2 mine string a {HOUR} FENCE {}", token + 9),
        format!("LOCK.MEXTEND 2 theirs string a {HOUR}"),
        "LOCK.MRELEASE 2 mine string a".into(),
        "LOCK.MRELEASE 2 string mine a".into(),
    ] {
        assert_eq!(client.say(&line), Reply::error(WRONGTYPE), "{line}");
        assert_eq!(holds(&mut client, "mine"), held, "{line}");
        assert_counted(&server, &before, &[], &line);
    }
}
