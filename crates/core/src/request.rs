//! Arguments of commands, parsed and checked in the order that the contract defines: words, then numbers,
//! then ranges. Nothing here looks at a key.

use crate::number::parse as integer;
use crate::time::Micros;
use crate::{Error, Limit, MAX_META, MAX_OWNER};

/// The limits of a server.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Longest ttl, in milliseconds.
    pub max_ttl_ms: i64,
    /// The current time, for the range of BLOCK.
    pub now: Micros,
}

/// LOCK.ACQUIRE and LOCK.MACQUIRE, without their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquire<'a> {
    /// The owner.
    pub owner: &'a [u8],
    /// The ttl, in milliseconds.
    pub ttl_ms: i64,
    /// How many holders it tolerates.
    pub limit: Limit,
    /// How long to wait in the queue, in milliseconds; 0 is forever.
    pub block_ms: Option<i64>,
    /// Whether the hold ends with the connection.
    pub session: bool,
    /// The least token that it accepts.
    pub fence: Option<u64>,
    /// A text to keep with the hold.
    pub meta: Option<&'a [u8]>,
}

/// LOCK.EXTEND and LOCK.MEXTEND, without their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extend<'a> {
    /// The owner of the holds.
    pub owner: &'a [u8],
    /// The least ttl from now on, in milliseconds.
    pub ttl_ms: i64,
    /// The least token that the holds get.
    pub fence: Option<u64>,
}

/// The options that a command knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Acquire,
    Macquire,
    Extend,
}

/// The options as they were written.
#[derive(Default)]
struct Written<'a> {
    shared: bool,
    limit: Option<&'a [u8]>,
    block: Option<&'a [u8]>,
    session: bool,
    fence: Option<&'a [u8]>,
    meta: Option<&'a [u8]>,
}

impl<'a> Written<'a> {
    #[inline]
    fn parse(mut args: impl Iterator<Item = &'a [u8]>, known: Known) -> Result<Self, Error> {
        let mut written = Written::default();
        while let Some(word) = args.next() {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if is("FENCE") {
                value(&mut written.fence, &mut args)?;
            } else if known == Known::Extend {
                return Err(Error::Syntax);
            } else if is("META") {
                value(&mut written.meta, &mut args)?;
            } else if is("LIMIT") {
                value(&mut written.limit, &mut args)?;
            } else if is("BLOCK") && known == Known::Acquire {
                value(&mut written.block, &mut args)?;
            } else if is("SHARED") {
                flag(&mut written.shared)?;
            } else if is("SESSION") {
                flag(&mut written.session)?;
            } else {
                return Err(Error::Syntax);
            }
        }
        if written.shared && written.limit.is_some() {
            return Err(Error::Syntax);
        }
        Ok(written)
    }
}

fn value<'a>(option: &mut Option<&'a [u8]>, args: &mut impl Iterator<Item = &'a [u8]>) -> Result<(), Error> {
    let given = args.next().ok_or(Error::Syntax)?;
    match option.replace(given) {
        None => Ok(()),
        Some(_) => Err(Error::Syntax),
    }
}

fn flag(option: &mut bool) -> Result<(), Error> {
    match std::mem::replace(option, true) {
        false => Ok(()),
        true => Err(Error::Syntax),
    }
}

impl<'a> Acquire<'a> {
    /// Parses `owner ttl-ms [SHARED | LIMIT n] [BLOCK ms] [SESSION] [FENCE token] [META text]`; BLOCK only if
    /// it `may_block`. `in_script` is called only if SESSION is given.
    ///
    /// # Errors
    /// Returns the first error that applies, in the order of the contract.
    #[inline]
    pub fn parse(
        mut args: impl Iterator<Item = &'a [u8]>,
        may_block: bool,
        terms: Terms,
        in_script: impl FnOnce() -> bool,
    ) -> Result<Self, Error> {
        let owner = args.next().ok_or(Error::Syntax)?;
        let ttl = args.next().ok_or(Error::Syntax)?;
        let written = Written::parse(args, if may_block { Known::Acquire } else { Known::Macquire })?;
        if written.session && in_script() {
            return Err(Error::SessionInScript);
        }
        let ttl_ms = integer(ttl)?;
        let limit = written.limit.map(integer).transpose()?;
        let block_ms = written.block.map(integer).transpose()?;
        let fence = written.fence.map(integer).transpose()?;
        check_ttl(ttl_ms, terms)?;
        let limit = match limit {
            Some(n) => Limit::new(n).ok_or(Error::Limit)?,
            None if written.shared => Limit::SHARED,
            None => Limit::EXCLUSIVE,
        };
        check_block(block_ms, terms)?;
        check_owner(owner)?;
        if written.meta.is_some_and(|meta| meta.len() > MAX_META) {
            return Err(Error::Meta);
        }
        let fence = fence.map(token).transpose()?;
        Ok(Acquire { owner, ttl_ms, limit, block_ms, session: written.session, fence, meta: written.meta })
    }
}

impl<'a> Extend<'a> {
    /// Parses `owner ttl-ms [FENCE token]`.
    ///
    /// # Errors
    /// Returns the first error that applies, in the order of the contract.
    #[inline]
    pub fn parse(mut args: impl Iterator<Item = &'a [u8]>, terms: Terms) -> Result<Self, Error> {
        let owner = args.next().ok_or(Error::Syntax)?;
        let ttl = args.next().ok_or(Error::Syntax)?;
        let written = Written::parse(args, Known::Extend)?;
        let ttl_ms = integer(ttl)?;
        let fence = written.fence.map(integer).transpose()?;
        check_ttl(ttl_ms, terms)?;
        check_owner(owner)?;
        let fence = fence.map(token).transpose()?;
        Ok(Extend { owner, ttl_ms, fence })
    }
}

/// Parses the `token` of LOCK.CHECK.
///
/// # Errors
/// Returns [`Error::NotAnInteger`] or [`Error::TokenNotPositive`] if it is wrong.
pub fn parse_token(text: &[u8]) -> Result<u64, Error> {
    token(integer(text)?)
}

/// Returns how many of the `available` arguments are keys, from the numkeys before them.
///
/// # Errors
/// Returns [`Error::NotAnInteger`], or [`Error::Syntax`] if it is below one or above `available`.
pub fn parse_numkeys(text: &[u8], available: usize) -> Result<usize, Error> {
    usize::try_from(integer(text)?).ok().filter(|count| (1..=available).contains(count)).ok_or(Error::Syntax)
}

/// Checks that an owner has 1 to 512 bytes.
///
/// # Errors
/// Returns [`Error::Owner`] if it does not.
#[inline]
pub fn check_owner(owner: &[u8]) -> Result<(), Error> {
    if (1..=MAX_OWNER).contains(&owner.len()) {
        Ok(())
    } else {
        Err(Error::Owner)
    }
}

fn check_ttl(ttl_ms: i64, terms: Terms) -> Result<(), Error> {
    if (1..=terms.max_ttl_ms).contains(&ttl_ms) {
        Ok(())
    } else {
        Err(Error::Ttl(terms.max_ttl_ms))
    }
}

/// Checks that the moment at which waiting ends fits the clock.
fn check_block(block_ms: Option<i64>, terms: Terms) -> Result<(), Error> {
    let Some(ms) = block_ms else { return Ok(()) };
    if ms < 0 {
        return Err(Error::BlockNegative);
    }
    match ms.checked_mul(1000).and_then(|micros| micros.checked_add(terms.now)) {
        Some(_) => Ok(()),
        None => Err(Error::BlockTooLong),
    }
}

fn token(number: i64) -> Result<u64, Error> {
    u64::try_from(number).ok().filter(|&token| token > 0).ok_or(Error::TokenNotPositive)
}
