//! Replies, read exactly as the server sent them.

use std::io::{self, BufRead, Error, ErrorKind};

/// A reply of RESP2 or RESP3.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `$-1` (RESP2) or `_` (RESP3).
    Nil,
    /// `*-1`: RESP2's reply to an EXEC that a WATCH stopped. In RESP3 it is [`Reply::Nil`].
    NilArray,
    /// `:`
    Int(i64),
    /// `+`
    Simple(String),
    /// `$`
    Bulk(Vec<u8>),
    /// `-` or `!`: the whole line without that sign.
    Error(String),
    /// `*`
    Array(Vec<Reply>),
    /// `%`, in the server's order.
    Map(Vec<(Reply, Reply)>),
    /// `~`
    Set(Vec<Reply>),
    /// `>`
    Push(Vec<Reply>),
    /// `#`
    Bool(bool),
    /// `,`
    Double(f64),
    /// `(`
    BigNumber(String),
    /// `=`, without the three letters of its format.
    Verbatim(Vec<u8>),
}

impl Reply {
    /// Returns `+OK`.
    pub fn ok() -> Reply {
        Reply::Simple("OK".into())
    }

    /// Returns a bulk string.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Reply {
        Reply::Bulk(bytes.as_ref().to_vec())
    }

    /// Returns an error line.
    pub fn error(line: impl Into<String>) -> Reply {
        Reply::Error(line.into())
    }

    /// Returns the integer.
    #[track_caller]
    pub fn int(&self) -> i64 {
        match self {
            Reply::Int(value) => *value,
            other => panic!("not an integer: {other:?}"),
        }
    }

    /// Returns the bytes of a string of any kind, or of an error.
    #[track_caller]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Reply::Bulk(bytes) | Reply::Verbatim(bytes) => bytes,
            Reply::Simple(text) | Reply::Error(text) | Reply::BigNumber(text) => text.as_bytes(),
            other => panic!("not a string: {other:?}"),
        }
    }

    /// Returns a string of any kind, or an error, as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        match std::str::from_utf8(self.bytes()) {
            Ok(text) => text,
            Err(_) => panic!("not UTF-8: {self:?}"),
        }
    }

    /// Returns the items of an array, a set or a push message.
    #[track_caller]
    pub fn array(&self) -> &[Reply] {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => items,
            other => panic!("not an array: {other:?}"),
        }
    }

    /// Returns the value of a field of a map, or of the flat array that stands for a map in RESP2.
    #[track_caller]
    pub fn get(&self, field: &str) -> &Reply {
        match self.find(field) {
            Some(value) => value,
            None => panic!("no field {field:?} in {self:?}"),
        }
    }

    /// Does what [`Reply::get`] does, if the field may be absent.
    pub fn find(&self, field: &str) -> Option<&Reply> {
        let named = |name: &Reply| {
            matches!(name, Reply::Bulk(b) if b == field.as_bytes())
                || matches!(name, Reply::Simple(s) if s == field)
        };
        match self {
            Reply::Map(pairs) => pairs.iter().find(|(name, _)| named(name)).map(|(_, value)| value),
            Reply::Array(items) => items.chunks_exact(2).find(|pair| named(&pair[0])).map(|pair| &pair[1]),
            _ => None,
        }
    }

    /// Returns whether this is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// Returns whether this is nil of either kind.
    pub fn is_nil(&self) -> bool {
        matches!(self, Reply::Nil | Reply::NilArray)
    }
}

/// Reads one reply.
pub(crate) fn read_reply(input: &mut impl BufRead) -> io::Result<Reply> {
    let line = read_line(input)?;
    let (&kind, rest) = line.split_first().ok_or_else(|| invalid(&line))?;
    Ok(match kind {
        b':' => Reply::Int(number(rest)?),
        b'+' => Reply::Simple(text(rest)),
        b'-' => Reply::Error(text(rest)),
        b'$' => sized(rest, Reply::Nil, |n| Ok(Reply::Bulk(read_bytes(input, n)?)))?,
        b'*' => sized(rest, Reply::NilArray, |n| Ok(Reply::Array(read_items(input, n)?)))?,
        b'_' => Reply::Nil,
        b'#' => Reply::Bool(rest == b"t"),
        b',' => Reply::Double(text(rest).parse().map_err(|_| invalid(&line))?),
        b'(' => Reply::BigNumber(text(rest)),
        b'!' => Reply::Error(text(&read_bytes(input, number(rest)?)?)),
        b'=' => Reply::Verbatim(read_bytes(input, number(rest)?)?.split_off(4)),
        b'~' => Reply::Set(read_items(input, number(rest)?)?),
        b'>' => Reply::Push(read_items(input, number(rest)?)?),
        b'%' => Reply::Map(read_pairs(input, number(rest)?)?),
        _ => return Err(invalid(&line)),
    })
}

fn sized(length: &[u8], absent: Reply, read: impl FnOnce(usize) -> io::Result<Reply>) -> io::Result<Reply> {
    if length == b"-1" {
        return Ok(absent);
    }
    read(number(length)?)
}

fn read_items(input: &mut impl BufRead, count: usize) -> io::Result<Vec<Reply>> {
    (0..count).map(|_| read_reply(input)).collect()
}

fn read_pairs(input: &mut impl BufRead, count: usize) -> io::Result<Vec<(Reply, Reply)>> {
    (0..count).map(|_| Ok((read_reply(input)?, read_reply(input)?))).collect()
}

fn read_bytes(input: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length + 2];
    input.read_exact(&mut bytes)?;
    if !bytes.ends_with(b"\r\n") {
        return Err(invalid(&bytes));
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn read_line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    if input.read_until(b'\n', &mut line)? == 0 {
        return Err(Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
    }
    if !line.ends_with(b"\r\n") {
        return Err(invalid(&line));
    }
    line.truncate(line.len() - 2);
    Ok(line)
}

fn number<N: std::str::FromStr>(digits: &[u8]) -> io::Result<N> {
    text(digits).parse().map_err(|_| invalid(digits))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn invalid(found: &[u8]) -> Error {
    Error::new(ErrorKind::InvalidData, format!("not RESP: {:?}", text(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(mut bytes: &[u8]) -> Reply {
        let reply = read_reply(&mut bytes).expect("a reply");
        assert!(bytes.is_empty(), "left over: {bytes:?}");
        reply
    }

    #[test]
    fn kinds_are_told_apart() {
        assert_eq!(parse(b"$-1\r\n"), Reply::Nil);
        assert_eq!(parse(b"*-1\r\n"), Reply::NilArray);
        assert_eq!(parse(b"_\r\n"), Reply::Nil);
        assert_eq!(parse(b"$0\r\n\r\n"), Reply::bulk(""));
        assert_eq!(parse(b"*0\r\n"), Reply::Array(vec![]));
        assert_eq!(parse(b":-9223372036854775808\r\n"), Reply::Int(i64::MIN));
        assert_eq!(parse(b"$3\r\n\0\r\n\r\n"), Reply::bulk(b"\0\r\n"));
        assert_eq!(parse(b"-ERR a  b\r\n"), Reply::error("ERR a  b"));
        assert_eq!(parse(b"=6\r\ntxt:ab\r\n"), Reply::Verbatim(b"ab".to_vec()));
        assert_eq!(parse(b"#f\r\n"), Reply::Bool(false));
        assert_eq!(parse(b",1.5\r\n"), Reply::Double(1.5));
    }

    #[test]
    fn fields_are_found_in_maps_and_flat_arrays() {
        let map = parse(b"%2\r\n+a\r\n:1\r\n$1\r\nb\r\n:2\r\n");
        let flat = parse(b"*4\r\n+a\r\n:1\r\n$1\r\nb\r\n:2\r\n");
        for reply in [map, flat] {
            assert_eq!(reply.get("a").int(), 1);
            assert_eq!(reply.get("b").int(), 2);
            assert_eq!(reply.find("c"), None);
        }
    }

    #[test]
    fn a_broken_reply_is_an_error() {
        for bytes in [&b"x\r\n"[..], b"", b":1", b"$2\r\nabc\r\n", b":a\r\n", b"\r\n"] {
            assert!(read_reply(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }
}
