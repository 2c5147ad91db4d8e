//! The boundaries between requests.

/// Splits a stream of bytes into whole requests.
#[derive(Default)]
pub struct Requests {
    begun: Vec<u8>,
}

impl Requests {
    /// Returns the requests that these bytes complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.begun.extend_from_slice(bytes);
        let mut whole = Vec::new();
        while let Some(length) = length(&self.begun) {
            let rest = self.begun.split_off(length);
            whole.push(std::mem::replace(&mut self.begun, rest));
        }
        whole
    }
}

/// Returns the length of the first request, if complete: an array of bulk strings, or a line.
fn length(bytes: &[u8]) -> Option<usize> {
    let mut end = line_end(bytes, 0)?;
    for _ in 0..number(bytes, 0, b'*').unwrap_or(0) {
        let start = end;
        end = line_end(bytes, start)?;
        end += number(bytes, start, b'$').map_or(0, |size| size + 2);
    }
    (end <= bytes.len()).then_some(end)
}

fn line_end(bytes: &[u8], from: usize) -> Option<usize> {
    let line = bytes.get(from..)?;
    line.iter().position(|&byte| byte == b'\n').map(|place| from + place + 1)
}

fn number(bytes: &[u8], from: usize, sign: u8) -> Option<usize> {
    let line = bytes.get(from..)?.strip_prefix(&[sign])?;
    let digits = line.split(|&byte| byte == b'\r').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_cut_wherever_the_bytes_were() {
        let stream = b"*2\r\n$3\r\nGET\r\n$4\r\n\r\n*1\r\nPING\r\n*1\r\n$0\r\n\r\n";
        let whole: [&[u8]; 3] = [&stream[..23], &stream[23..29], &stream[29..]];
        for size in 1..=stream.len() {
            let mut requests = Requests::default();
            let cut: Vec<_> = stream.chunks(size).flat_map(|bytes| requests.push(bytes)).collect();
            assert_eq!(cut, whole, "in pieces of {size}");
            assert!(requests.begun.is_empty());
        }
    }
}
