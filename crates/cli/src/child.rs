//! What is common to all programs that this one starts.

use rustix::process::Pid;
use std::io;

/// For a child, before it becomes another program: it is not to go on when this process is killed.
///
/// # Errors
/// Where the parent has gone already.
#[cfg(target_os = "linux")]
pub fn end_with_parent(parent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    if rustix::process::getppid() == Some(parent) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()))
    }
}

/// Other systems have no such thing.
#[cfg(not(target_os = "linux"))]
pub fn end_with_parent(_: Pid) -> io::Result<()> {
    Ok(())
}
