//! Arguments that several commands share, for their documentation.

use crate::ffi::doc::Arg;

/// The options that LOCK.ACQUIRE and LOCK.MACQUIRE share, around those of their own.
pub fn acquire_options(own: impl IntoIterator<Item = Arg>) -> Vec<Arg> {
    let kind = vec![Arg::word("shared", "SHARED"), Arg::integer("n").after("LIMIT")];
    let mut args = vec![Arg::text("owner"), Arg::integer("ttl-ms"), Arg::one_of("kind", kind).optional()];
    args.extend(own);
    args.push(Arg::word("session", "SESSION").optional());
    args.push(Arg::integer("token").after("FENCE").optional());
    args.push(Arg::text("text").after("META").optional());
    args
}

/// `numkeys key [key …]`.
pub fn counted_keys() -> Vec<Arg> {
    vec![Arg::integer("numkeys"), Arg::key().multiple()]
}
