//! Effects: what replicas and the AOF are told. An effect says what became of a lock, never what
//! somebody asked for, so that nobody decides twice.
//!
//! - `LOCK._HOLD key owner ttl-ms token [LIMIT n] [HELD ms] [META text] [EXPIRED owner | RELEASED owner]…`:
//!   this owner's whole hold, as it is now (LIMIT 0 is shared, no LIMIT is 1; a ttl of 0 is valid);
//!   before it, the named holds went. In one effect, so that a lock that passes from one to the
//!   other is at no time without a hold.
//! - `LOCK._DROP key (EXPIRED owner | RELEASED owner)…`: the named holds went.
//! - `LOCK._LAST token`: no token up to this one will be granted again.

use crate::number::parse as integer;
use crate::request::check_owner;
use crate::{Error, Limit, MAX_META, TOKEN_END};

/// Why a hold went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its deadline passed.
    Expired,
    /// Its owner released it, or its grant was not delivered.
    Released,
    /// Its last connection was closed; replicas are told that it was released.
    SessionClosed,
}

impl Cause {
    /// Its word in an effect.
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

/// A hold that went.
pub type Gone<'a> = (Cause, &'a [u8]);

/// `LOCK._HOLD`, without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldEffect<'a> {
    /// Whose hold.
    pub owner: &'a [u8],
    /// What is left of it, in milliseconds; 0 is valid: gone on arrival.
    pub ttl_ms: i64,
    /// Its token.
    pub token: u64,
    /// Its limit.
    pub limit: Limit,
    /// For how long it has been held, in milliseconds.
    pub held_ms: i64,
    /// Its META; empty where it has none.
    pub meta: &'a [u8],
    /// The holds that went before it.
    pub gone: Vec<Gone<'a>>,
}

impl<'a> HoldEffect<'a> {
    /// Parses and checks the arguments after the key.
    ///
    /// # Errors
    /// As for the commands; [`Error::OutOfRange`] for negative times, and
    /// [`Error::TokenTooFarAhead`] for a token of 2^53 or above.
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

/// The arguments of `LOCK._DROP` after the key.
///
/// # Errors
/// [`Error::Syntax`], [`Error::Owner`].
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

/// The token of an effect: positive and below 2^53.
///
/// # Errors
/// [`Error::NotAnInteger`], [`Error::TokenNotPositive`], [`Error::TokenTooFarAhead`].
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
