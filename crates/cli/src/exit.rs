//! Exit statuses, those of sysexits.h if one fits.

/// An exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u8);

impl From<Status> for std::process::ExitCode {
    fn from(status: Status) -> Self {
        status.0.into()
    }
}

pub const OK: Status = Status(0);
/// The arguments make no sense: EX_USAGE.
pub const USAGE: Status = Status(64);
/// A server is not reachable, or is not suitable: EX_UNAVAILABLE.
pub const UNAVAILABLE: Status = Status(69);
/// The operating system refused something: EX_OSERR.
pub const OS_ERROR: Status = Status(71);
/// The lock could not be acquired in time: EX_TEMPFAIL.
pub const NOT_ACQUIRED: Status = Status(75);
/// The lock was lost while the command ran.
pub const LOST: Status = Status(76);
/// As in shells: the command exists and can't be run.
pub const NOT_EXECUTABLE: Status = Status(126);
/// As in shells: there is no such command.
pub const NOT_FOUND: Status = Status(127);

/// As in shells: ended by this signal.
pub fn by_signal(signal: i32) -> Status {
    Status(128u8.saturating_add(u8::try_from(signal).unwrap_or(0)))
}
