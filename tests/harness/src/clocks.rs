//! The offsets of a server's clocks, in memory that the server and the test share.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, Ordering};

const NANOS_PER_MS: i64 = 1_000_000;

#[repr(C)]
struct Offsets {
    realtime: AtomicI64,
    monotonic: AtomicI64,
}

/// The clocks of one server. They keep their offsets when it restarts.
pub(crate) struct Clocks {
    offsets: NonNull<Offsets>,
}

// SAFETY: the mapping lives until drop, belongs to this value alone, and holds nothing but atomics.
unsafe impl Send for Clocks {}
// SAFETY: as above.
unsafe impl Sync for Clocks {}

impl Clocks {
    /// Creates the file at `path` and maps it.
    pub fn create(path: &Path) -> io::Result<Clocks> {
        let size = size_of::<Offsets>();
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.set_len(size as u64)?;
        // SAFETY: a new shared mapping of a file of that size; the kernel chooses the place.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let offsets = NonNull::new(address.cast()).expect("a mapping is never at zero");
        Ok(Clocks { offsets })
    }

    /// Makes a process that is about to start read these clocks from the file at `path`.
    pub fn preload(command: &mut Command, path: &Path) {
        if !cfg!(target_os = "linux") {
            panic!("movable clocks need Linux");
        }
        command
            .env("LD_PRELOAD", concat!(env!("OUT_DIR"), "/libmovable_clock.so"))
            .env("MOVABLE_CLOCK", path);
    }

    pub fn step_wall(&self, ms: i64) {
        self.offsets().realtime.fetch_add(ms * NANOS_PER_MS, Ordering::SeqCst);
    }

    pub fn step_monotonic(&self, ms: i64) {
        self.offsets().monotonic.fetch_add(ms * NANOS_PER_MS, Ordering::SeqCst);
    }

    fn offsets(&self) -> &Offsets {
        // SAFETY: mapped and zeroed by `create`, aligned to a page, unmapped only by drop.
        unsafe { self.offsets.as_ref() }
    }
}

impl Drop for Clocks {
    fn drop(&mut self) {
        // SAFETY: the mapping that `create` made; nothing refers to it any longer.
        unsafe { libc::munmap(self.offsets.as_ptr().cast(), size_of::<Offsets>()) };
    }
}
