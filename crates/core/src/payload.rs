//! The encoding of a lock in RDB, DUMP and MIGRATE: every hold, even an expired one, oldest first, with the
//! rest of its ttl in place of its deadline, since clocks differ.
//!
//! All numbers are little-endian: `u32` number of holds, then for each one `u16` length of owner,
//! `u16` length of META, `u16` limit (0 = shared), `u64` token, `u64` remaining ttl and `u64` time
//! held, both in milliseconds; then owner and META.

use crate::time::{after_ms, ms_since, ms_until, Micros};
use crate::{Hold, Limit, Lock, MAX_META, MAX_OWNER, TOKEN_END};

/// The version of this encoding, which the server stores beside it. A higher one comes from a newer module,
/// and is refused.
pub const VERSION: i32 = 1;

/// The defect of a payload, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged lock payload: {0}")]
pub struct Damaged(&'static str);

/// Encodes a lock as it is at `now`.
pub fn encode(lock: &Lock, now: Micros) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + lock.len() * 64);
    // A lock of 2^32 holders would exceed any memory.
    out.extend_from_slice(&(lock.len() as u32).to_le_bytes());
    for hold in lock.holds() {
        // Both lengths are at most 512.
        out.extend_from_slice(&(hold.owner().len() as u16).to_le_bytes());
        out.extend_from_slice(&(hold.meta().len() as u16).to_le_bytes());
        out.extend_from_slice(&hold.limit().to_wire().to_le_bytes());
        out.extend_from_slice(&hold.token.to_le_bytes());
        out.extend_from_slice(&ms_until(hold.deadline, now).to_le_bytes());
        out.extend_from_slice(&ms_since(hold.since, now).to_le_bytes());
        out.extend_from_slice(hold.owner());
        out.extend_from_slice(hold.meta());
    }
    out
}

/// Decodes a lock. The rest of each ttl starts at `now`.
///
/// # Errors
/// Returns [`Damaged`] if [`encode`] can't have written the payload.
pub fn decode(payload: &[u8], now: Micros) -> Result<Lock, Damaged> {
    let mut reader = Reader(payload);
    let count = u32::from_le_bytes(reader.array()?);
    if count == 0 {
        return Err(Damaged("no holds"));
    }
    let mut lock = Lock::default();
    for _ in 0..count {
        let hold = decode_hold(&mut reader, now)?;
        if lock.get(hold.owner()).is_some() {
            return Err(Damaged("an owner twice"));
        }
        lock.put(hold);
    }
    match reader.0 {
        [] => Ok(lock),
        _ => Err(Damaged("bytes after its end")),
    }
}

fn decode_hold(reader: &mut Reader, now: Micros) -> Result<Hold, Damaged> {
    let owner_len = usize::from(u16::from_le_bytes(reader.array()?));
    let meta_len = usize::from(u16::from_le_bytes(reader.array()?));
    let limit = u16::from_le_bytes(reader.array()?);
    let token = u64::from_le_bytes(reader.array()?);
    let ttl_ms = i64::from_le_bytes(reader.array()?);
    let held_ms = i64::from_le_bytes(reader.array()?);
    if !(1..=MAX_OWNER).contains(&owner_len) || meta_len > MAX_META {
        return Err(Damaged("a length out of range"));
    }
    if !(1..TOKEN_END).contains(&token) || ttl_ms < 0 || held_ms < 0 {
        return Err(Damaged("a number out of range"));
    }
    let limit = Limit::from_wire(i64::from(limit)).ok_or(Damaged("a limit out of range"))?;
    let (owner, meta) = (reader.bytes(owner_len)?, reader.bytes(meta_len)?);
    let mut hold = Hold::new(owner, limit, now, ttl_ms, token).with_meta(meta);
    hold.since = after_ms(now, -held_ms);
    Ok(hold)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Damaged("cut short"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Damaged("cut short"))?;
        self.0 = rest;
        Ok(*bytes)
    }
}
