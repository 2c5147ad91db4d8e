//! Slots of a cluster: finding another name in the slot of a key.
//!
//! The slot is the CRC-16 (XMODEM: polynomial 0x1021, start 0) of the key, or of its tag: the text between
//! the first `{` and the first `}` after it, if that is not empty.
//! See <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags>.

const POLYNOMIAL: u16 = 0x1021;

/// Returns a name in the same slot as `key` that contains `mark`, which must not contain braces.
pub fn neighbour(key: &[u8], mark: &[u8]) -> Vec<u8> {
    if has_tag(key) {
        return [key, mark].concat();
    }
    if !key.is_empty() && !key.contains(&b'}') {
        return [b"{", key, b"}", mark].concat();
    }
    // Without a tag the whole name counts, and two more bytes change its checksum back to that of the key.
    // They must not complete a tag; after a few other bytes they do not.
    let before_last = two_bytes_before(checksum(key));
    let mut names = (0..=u8::MAX).map(|salt| {
        let name = [key, mark, salt.to_string().as_bytes()].concat();
        let last = checksum(&name) ^ before_last;
        [&name[..], &last.to_be_bytes()].concat()
    });
    // About one in a hundred completes a tag.
    names.find(|name| !has_tag(name)).unwrap_or_else(|| key.to_vec())
}

fn has_tag(key: &[u8]) -> bool {
    let tag = key.iter().position(|&byte| byte == b'{').map(|open| &key[open + 1..]);
    tag.and_then(|tag| tag.iter().position(|&byte| byte == b'}')).is_some_and(|len| len > 0)
}

fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, &byte| {
        (0..8).fold(sum ^ u16::from(byte) << 8, |sum, _| {
            (sum << 1) ^ if sum & 0x8000 == 0 { 0 } else { POLYNOMIAL }
        })
    })
}

/// Returns the checksum that two zero bytes turn into `sum`: the steps of [`checksum`], backwards.
fn two_bytes_before(sum: u16) -> u16 {
    (0..16).fold(sum, |sum, _| if sum & 1 == 0 { sum >> 1 } else { (sum ^ POLYNOMIAL) >> 1 | 0x8000 })
}
