//! The part of the protocol that clients of the lock use.

/// Takes the first command out of a client's bytes. Returns `None` if it is incomplete.
///
/// # Errors
/// Returns an error if this is not a command.
pub fn take_command(input: &mut Vec<u8>) -> Result<Option<Vec<Vec<u8>>>, Malformed> {
    let mut reader = Reader { input, at: 0 };
    let Some(arguments) = reader.number(b'*')? else { return Ok(None) };
    let mut command = Vec::new();
    for _ in 0..arguments {
        let Some(length) = reader.number(b'$')? else { return Ok(None) };
        let Some(argument) = reader.bytes(length) else { return Ok(None) };
        command.push(argument);
    }
    let used = reader.at;
    input.drain(..used);
    Ok(Some(command))
}

/// The error for input that is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// Reads a line with a number after this mark.
    fn number(&mut self, mark: u8) -> Result<Option<usize>, Malformed> {
        let rest = &self.input[self.at..];
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let digits = rest[..end].strip_prefix(&[mark]).ok_or(Malformed)?;
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        self.at += end + 2;
        number.map(Some).ok_or(Malformed)
    }

    fn bytes(&mut self, length: usize) -> Option<Vec<u8>> {
        let end = self.at.checked_add(length)?;
        let bytes = self.input.get(self.at..end)?.to_vec();
        self.input.get(end..end + 2)?;
        self.at = end + 2;
        Some(bytes)
    }
}

pub fn integer(number: u64) -> Vec<u8> {
    format!(":{number}\r\n").into_bytes()
}

pub fn error(line: &str) -> Vec<u8> {
    format!("-{line}\r\n").into_bytes()
}

pub fn simple(text: &str) -> Vec<u8> {
    format!("+{text}\r\n").into_bytes()
}

pub fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

pub fn nil() -> Vec<u8> {
    b"_\r\n".to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_arrive_in_pieces() {
        let sent = b"*2\r\n$4\r\nPING\r\n$1\r\nx\r\n*1\r\n$4\r\nPING\r\n";
        let mut commands = Vec::new();
        let mut input = Vec::new();
        for byte in sent {
            input.push(*byte);
            while let Some(command) = take_command(&mut input).unwrap() {
                commands.push(command);
            }
        }
        assert_eq!(commands, [vec![b"PING".to_vec(), b"x".to_vec()], vec![b"PING".to_vec()]]);
        assert!(input.is_empty());
    }

    #[test]
    fn what_is_no_command() {
        for wrong in [&b"PING\r\n"[..], b"*x\r\n", b"*1\r\n:1\r\n"] {
            assert_eq!(take_command(&mut wrong.to_vec()), Err(Malformed));
        }
    }
}
