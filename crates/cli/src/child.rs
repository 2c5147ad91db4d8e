//! What all programs that this one starts have in common.

use rustix::process::Pid;
use std::io;

/// Called in a child before it becomes another program. The child must not go on when this process is killed.
///
/// # Errors
/// Returns an error if the parent has already ended.
#[cfg(target_os = "linux")]
pub fn end_with_parent(parent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    if rustix::process::getppid() == Some(parent) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()))
    }
}

/// Other systems have no such function.
#[cfg(not(target_os = "linux"))]
pub fn end_with_parent(_: Pid) -> io::Result<()> {
    Ok(())
}
