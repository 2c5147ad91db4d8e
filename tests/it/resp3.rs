//! The replies under RESP3.

use crate::support::{holds, Hold, Say};
use redis_lock_harness::{Reply, Server};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// What the server writes after HELLO 3 in reply to one command, byte by byte.
fn bytes_after_hello(server: &Server, command: &str) -> String {
    let mut stream = UnixStream::connect(server.socket()).unwrap();
    // The echo marks the beginning; QUIT closes the connection and so the end.
    stream.write_all(format!("HELLO 3\r\nECHO begin\r\n{command}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    let (_, reply) = replies.split_once("$5\r\nbegin\r\n").expect("the echo");
    reply.strip_suffix("+OK\r\n").expect("the reply to QUIT").to_string()
}

#[test]
fn nil_is_the_null_of_resp3() {
    let server = Server::start();
    let mut client = server.connect();
    client.take("held", "me", "");
    for command in [
        "LOCK.ACQUIRE held you 1000",
        "LOCK.ACQUIRE held you 1000 BLOCK 1",
        "LOCK.MACQUIRE 2 free held you 1000",
        "LOCK.OWNER free",
        "LOCK.INFO free",
    ] {
        assert_eq!(bytes_after_hello(&server, command), "_\r\n", "{command}");
    }
}

#[test]
fn tokens_and_counts_are_integers() {
    let server = Server::start();
    let mut client = server.connect_resp3();
    let token = client.take("a", "me", "");
    let several = client.say("LOCK.MACQUIRE 2 b c me 600000").int();
    assert_eq!(several, token + 1);
    for (command, reply) in [
        (format!("LOCK.CHECK a {token}"), 1),
        ("LOCK.EXTEND a me 1000".into(), 1),
        ("LOCK.EXTEND a you 1000".into(), 0),
        ("LOCK.EXTEND a me 1000 FENCE 1".into(), token),
        ("LOCK.MEXTEND 2 b c me 1000".into(), 1),
        ("LOCK.MEXTEND 2 b c me 1000 FENCE 1".into(), several),
        ("LOCK.TTL free".into(), -2),
        ("LOCK.RELEASE a me".into(), 1),
        ("LOCK.RELEASE a me".into(), 0),
        ("LOCK.MRELEASE 3 a b c me".into(), 2),
    ] {
        assert_eq!(bytes_after_hello(&server, &command), format!(":{reply}\r\n"), "{command}");
    }
}

#[test]
fn an_owner_is_a_string() {
    let server = Server::start();
    server.connect().take("key", "me", "");
    assert_eq!(bytes_after_hello(&server, "LOCK.OWNER key"), "$2\r\nme\r\n");
}

#[test]
fn errors_are_the_same_lines() {
    let server = Server::start();
    for command in [
        "LOCK.ACQUIRE key",
        "LOCK.ACQUIRE key me 0",
        "LOCK.CHECK key 5",
        "LOCK.MRELEASE 0 key me",
        "LOCK.TTL",
    ] {
        let line = server.connect().say(command);
        assert!(line.is_error(), "{line:?}");
        assert_eq!(bytes_after_hello(&server, command), format!("-{}\r\n", line.text()));
    }
}

#[test]
fn info_is_a_map_of_maps() {
    let server = Server::start();
    let mut client = server.connect_resp3();
    let token = client.take("key", "me", "LIMIT 2 META text");
    client.take("key", "you", "LIMIT 2");
    let info = client.say("LOCK.INFO key");
    let Reply::Map(fields) = &info else { panic!("not a map: {info:?}") };
    assert_eq!(fields.len(), 3);
    assert_eq!(info.get("fence"), &Reply::Int(token + 1));
    assert_eq!(info.get("waiters"), &Reply::Array(vec![]));
    for holder in info.get("holders").array() {
        let Reply::Map(fields) = holder else { panic!("not a map: {holder:?}") };
        assert_eq!(fields.len(), 7);
    }
    let me = Hold { meta: b"text".to_vec(), ..Hold::plain("me", token, 2) };
    assert_eq!(holds(&mut client, "key"), [me, Hold::plain("you", token + 1, 2)]);
}

#[test]
fn both_protocols_show_the_same_lock() {
    let server = Server::start();
    let (mut two, mut three) = (server.connect(), server.connect_resp3());
    two.take("key", "me", "SHARED META text");
    three.take("key", "you", "SHARED");
    assert_eq!(holds(&mut two, "key"), holds(&mut three, "key"));
    assert_eq!(holds(&mut two, "key").len(), 2);
    let flat = two.say("LOCK.INFO key");
    assert_eq!(flat.array().len(), 6);
    assert!(flat.get("holders").array().iter().all(|holder| holder.array().len() == 14));
}
