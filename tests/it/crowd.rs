//! Many clients that wait, leave, are killed, unblocked, too late, granted and robbed, at random.
//!
//! [`real`] does one thing at a time, and after each compares all that can be seen with plain lists: who holds, who
//! waits in which order, what every client was told, every counter. [`storm`] lets many connections do as they please
//! at once, and looks at what must be true in the end.
//!
//! `REDIS_LOCK_SEED` chooses another run, `REDIS_LOCK_CROWD` a larger one.

mod real;
mod storm;

/// How many times as much as in a usual run.
fn scale() -> usize {
    match std::env::var("REDIS_LOCK_CROWD") {
        Ok(scale) => scale.parse().expect("REDIS_LOCK_CROWD is a number"),
        Err(_) => 1,
    }
}
