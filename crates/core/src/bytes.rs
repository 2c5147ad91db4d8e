//! A byte string that is stored inside its owner if it is short.

use std::fmt;

/// Long enough for a UUID, and short enough that a hold does not exceed its allocation class.
const INLINE: usize = 38;

/// An owned byte string. Up to 38 bytes, the size of owners and most key names, need no allocation of their
/// own.
#[derive(Clone)]
pub struct Bytes(Repr);

#[derive(Clone)]
enum Repr {
    Inline(u8, [u8; INLINE]),
    Heap(Box<[u8]>),
}

impl Bytes {
    /// The empty string.
    pub const EMPTY: Bytes = Bytes(Repr::Inline(0, [0; INLINE]));

    /// Sets the contents in place, so that short ones are written only once.
    #[inline]
    pub fn set(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Repr::Inline(len, buffer) if bytes.len() <= INLINE => {
                buffer[..bytes.len()].copy_from_slice(bytes);
                // Fits: INLINE is below 256.
                *len = bytes.len() as u8;
            }
            _ => *self = Bytes::from(bytes),
        }
    }

    /// Returns the bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(len, buffer) => &buffer[..usize::from(*len).min(INLINE)],
            Repr::Heap(bytes) => bytes,
        }
    }

    /// Returns how many bytes it has allocated besides its own size.
    pub fn heap_size(&self) -> usize {
        match &self.0 {
            Repr::Inline(..) => 0,
            Repr::Heap(bytes) => bytes.len(),
        }
    }
}

impl From<&[u8]> for Bytes {
    #[inline]
    fn from(bytes: &[u8]) -> Self {
        if bytes.len() <= INLINE {
            let mut buffer = [0; INLINE];
            buffer[..bytes.len()].copy_from_slice(bytes);
            // Fits: INLINE is below 256.
            Bytes(Repr::Inline(bytes.len() as u8, buffer))
        } else {
            Bytes(Repr::Heap(bytes.into()))
        }
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Bytes {}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bytes {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl std::hash::Hash for Bytes {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

// A map keyed by `Bytes` can be looked up with a plain slice.
impl std::borrow::Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_slice().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_every_length() {
        for len in 0..600 {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let kept = Bytes::from(&bytes[..]);
            assert_eq!(kept.as_slice(), &bytes[..]);
            assert_eq!(kept.heap_size(), if len <= INLINE { 0 } else { len });
        }
    }

    #[test]
    fn is_no_larger_than_meant() {
        assert_eq!(std::mem::size_of::<Bytes>(), 40);
    }
}
