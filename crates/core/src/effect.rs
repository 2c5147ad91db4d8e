//! Effects, which are propagated to replicas and the AOF. An effect says what became of a lock, never what
//! somebody asked for, so that nobody decides twice.
//!
//! - `LOCK._HOLD key owner ttl-ms token [LIMIT n] [HELD ms] [META text] [EXPIRED owner | RELEASED owner]…`:
//!   this owner's whole hold as it is now (LIMIT 0 is shared, no LIMIT is 1; a ttl of 0 is valid), after the
//!   end of the named holds. It is one effect, so that a lock that is handed over is never without a hold.
//! - `LOCK._DROP key (EXPIRED owner | RELEASED owner)…`: the named holds ended.
//! - `LOCK._LAST token`: no token up to this one will be granted again.

use crate::number::parse as integer;
use crate::request::check_owner;
use crate::{Error, Limit, MAX_META, TOKEN_END};

/// Why a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its deadline passed.
    Expired,
    /// Its owner released it, or its grant was not delivered.
    Released,
    /// Its last connection was closed. For replicas it was released.
    SessionClosed,
}

impl Cause {
    /// Returns its word in an effect.
    pub fn word(self) -> &'static str {
        match self {
            Cause::Expired => "EXPIRED",
            Cause::Released | Cause::SessionClosed => "RELEASED",
        }
    }

    fn of(word: &[u8]) -> Option<Cause> {
        [Cause::Expired, Cause::Released]
            .into_iter()
            .find(|cause| word.eq_ignore_ascii_case(cause.word().as_bytes()))
    }
}

/// A hold that ended.
pub type Gone<'a> = (Cause, &'a [u8]);

/// `LOCK._HOLD`, without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldEffect<'a> {
    /// The owner of the hold.
    pub owner: &'a [u8],
    /// The rest of its ttl, in milliseconds; 0 is valid: expired on arrival.
    pub ttl_ms: i64,
    /// Its token.
    pub token: u64,
    /// Its limit.
    pub limit: Limit,
    /// For how long it has been held, in milliseconds.
    pub held_ms: i64,
    /// Its META; empty if it has none.
    pub meta: &'a [u8],
    /// The holds that ended before it.
    pub gone: Vec<Gone<'a>>,
}

impl<'a> HoldEffect<'a> {
    /// Parses and checks the arguments after the key.
    ///
    /// # Errors
    /// Returns the errors of the commands, [`Error::OutOfRange`] if a time is negative, and
    /// [`Error::TokenTooFarAhead`] if the token is 2^53 or above.
    pub fn parse(mut args: impl Iterator<Item = &'a [u8]>) -> Result<Self, Error> {
        let mut next = || args.next().ok_or(Error::Syntax);
        let (owner, ttl_ms, token) = (next()?, time(next()?)?, token(next()?)?);
        check_owner(owner)?;
        let (mut limit, mut held_ms, mut meta_text, mut gone) = (None, None, None, Vec::new());
        while let Some(word) = args.next() {
            let value = args.next().ok_or(Error::Syntax)?;
            if let Some(cause) = Cause::of(word) {
                check_owner(value)?;
                gone.push((cause, value));
            } else if word.eq_ignore_ascii_case(b"LIMIT") {
                once(&mut limit, Limit::from_wire(integer(value)?).ok_or(Error::Limit)?)?;
            } else if word.eq_ignore_ascii_case(b"HELD") {
                once(&mut held_ms, time(value)?)?;
            } else if word.eq_ignore_ascii_case(b"META") {
                once(&mut meta_text, meta(value)?)?;
            } else {
                return Err(Error::Syntax);
            }
        }
        let limit = limit.unwrap_or(Limit::EXCLUSIVE);
        let (held_ms, meta) = (held_ms.unwrap_or(0), meta_text.unwrap_or_default());
        Ok(HoldEffect { owner, ttl_ms, token, limit, held_ms, meta, gone })
    }
}

fn once<T>(option: &mut Option<T>, value: T) -> Result<(), Error> {
    match option.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::Syntax),
    }
}

/// Parses the arguments of `LOCK._DROP` after the key.
///
/// # Errors
/// Returns [`Error::Syntax`] or [`Error::Owner`] if they are wrong.
pub fn parse_gone<'a>(mut args: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Gone<'a>>, Error> {
    let mut gone = Vec::new();
    while let Some(word) = args.next() {
        let cause = Cause::of(word).ok_or(Error::Syntax)?;
        let owner = args.next().ok_or(Error::Syntax)?;
        check_owner(owner)?;
        gone.push((cause, owner));
    }
    if gone.is_empty() {
        return Err(Error::Syntax);
    }
    Ok(gone)
}

/// Parses the token of an effect: positive and below 2^53.
///
/// # Errors
/// Returns [`Error::NotAnInteger`], [`Error::TokenNotPositive`] or [`Error::TokenTooFarAhead`] if it is not.
pub fn token(text: &[u8]) -> Result<u64, Error> {
    let token = crate::request::parse_token(text)?;
    if token < TOKEN_END {
        Ok(token)
    } else {
        Err(Error::TokenTooFarAhead)
    }
}

fn time(text: &[u8]) -> Result<i64, Error> {
    match integer(text)? {
        ms if ms >= 0 => Ok(ms),
        _ => Err(Error::OutOfRange),
    }
}

fn meta(text: &[u8]) -> Result<&[u8], Error> {
    if text.len() <= MAX_META {
        Ok(text)
    } else {
        Err(Error::Meta)
    }
}
