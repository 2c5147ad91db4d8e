//! Exit statuses, those of sysexits.h where there is one that fits.

/// An exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u8);

impl From<Status> for std::process::ExitCode {
    fn from(status: Status) -> Self {
        status.0.into()
    }
}

pub const OK: Status = Status(0);
/// What was asked for makes no sense: EX_USAGE.
pub const USAGE: Status = Status(64);
/// A server is not there, or is not what it is to be: EX_UNAVAILABLE.
pub const UNAVAILABLE: Status = Status(69);
/// The system refused something: EX_OSERR.
pub const OS_ERROR: Status = Status(71);
/// The lock was not to be had in time: EX_TEMPFAIL.
pub const NOT_ACQUIRED: Status = Status(75);
/// The lock was lost while the command ran.
pub const LOST: Status = Status(76);
/// As shells say it: the command is there and can't be run.
pub const NOT_EXECUTABLE: Status = Status(126);
/// As shells say it: there is no such command.
pub const NOT_FOUND: Status = Status(127);

/// As shells say it: ended by this signal.
pub fn by_signal(signal: i32) -> Status {
    Status(128u8.saturating_add(u8::try_from(signal).unwrap_or(0)))
}
