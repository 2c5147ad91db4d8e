//! `redis-lock` in a terminal of its own.

use crate::support::*;
use redis_lock_harness::{Cluster, eventually};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A terminal, and the program that runs in its foreground.
pub struct Terminal {
    keyboard: Option<File>,
    screen: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    closing: Arc<AtomicBool>,
    child: Child,
}

impl Terminal {
    pub fn start(command: Command) -> Terminal {
        Terminal::of_width(100, command)
    }

    pub fn of_width(columns: u16, mut command: Command) -> Terminal {
        let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        // Not openpty(3): our end must not go to programs that other threads start at the same time.
        // SAFETY: the size is only read; else no memory is involved.
        let (ours, theirs) = unsafe {
            let ours = libc::posix_openpt(flags);
            libc::unlockpt(ours);
            libc::ioctl(ours, libc::TIOCSWINSZ, &size);
            (ours, libc::ioctl(ours, libc::TIOCGPTPEER, flags))
        };
        assert!(ours >= 0 && theirs >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: both were just opened, and are nobody else's.
        let (ours, theirs) = unsafe { (File::from_raw_fd(ours), File::from_raw_fd(theirs)) };
        let copy = || theirs.try_clone().expect("a terminal can be opened again");
        command.stdin(copy()).stdout(copy()).stderr(copy()).env("TERM", "xterm");
        // SAFETY: between fork and exec only system calls are made.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            })
        };
        let child = command.spawn().expect("the program is built");
        drop(theirs);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut shown, written) = (ours.try_clone().expect("as above"), Arc::clone(&screen));
        let closing = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&closing);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The terminal is gone with its last program: an error.
            while let Ok(count @ 1..) = shown.read(&mut bytes)
                && !closed.load(Ordering::Relaxed)
            {
                written.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Terminal { keyboard: Some(ours), screen, reader: Some(reader), closing, child }
    }

    pub fn types(&mut self, keys: &[u8]) {
        self.keyboard.as_mut().expect("it did not hang up").write_all(keys).expect("the terminal is there");
    }

    /// Goes away, while the program writes something.
    pub fn hangs_up(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        self.reader.take().expect("it hangs up once").join().expect("reading does not panic");
        self.keyboard = None;
    }

    pub fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    #[track_caller]
    pub fn shows(&self, text: &str) {
        let start = std::time::Instant::now();
        while !self.screen().contains(text) {
            assert!(start.elapsed() < BOUND, "{text:?} is not in {}", self.screen());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Waits until the program is stopped, then lets it go on.
    pub fn goes_on_after_a_stop(&self) {
        let stat = format!("/proc/{}/stat", self.child.id());
        eventually(BOUND, || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T ")));
        kill(self.child.id(), libc::SIGCONT);
    }

    #[track_caller]
    pub fn code(mut self) -> i32 {
        let status = eventually(BOUND, || self.child.try_wait().expect("it can be waited for"));
        status.code().unwrap_or_else(|| panic!("{status}: {}", self.screen()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended as a rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run_in_terminal(cluster: &Cluster, script: &str) -> Terminal {
    let mut command = program();
    command.args(["run", "--node", &cluster.urls()[0], "--key", KEY, "--", "sh", "-c", script]);
    Terminal::start(command)
}

#[test]
fn the_command_reads_from_the_terminal_and_gets_ctrl_c_once() {
    let cluster = Cluster::start(1);
    let script = r#"trap 'echo caught' INT; echo ready; read line; echo "read $line"; read line; echo last"#;
    let mut terminal = run_in_terminal(&cluster, script);
    terminal.shows("ready");
    terminal.types(b"hello\n");
    terminal.shows("read hello");
    terminal.types(b"\x03");
    terminal.shows("caught");
    // dash goes on after the trap with what follows the read.
    terminal.shows("last");
    let screen = terminal.screen();
    assert_eq!(terminal.code(), 0, "{screen}");
    assert_eq!(screen.matches("caught").count(), 1, "{screen}");
    assert!(owners(cluster.node(0), KEY).is_empty());
}

#[test]
fn ctrl_c_ends_the_command_and_leaves_no_lock() {
    let cluster = Cluster::start(1);
    let mut terminal = run_in_terminal(&cluster, "echo ready; exec sleep 1000");
    terminal.shows("ready");
    terminal.types(b"\x03");
    assert_eq!(terminal.code(), 130);
    assert!(owners(cluster.node(0), KEY).is_empty());
}

/// The kernel tells only the process that the terminal was opened for, which is not the command.
#[test]
fn a_terminal_that_goes_away_ends_the_command() {
    let cluster = Cluster::start(1);
    let mut terminal = run_in_terminal(&cluster, "while :; do echo tick; sleep 0.05; done");
    terminal.shows("tick");
    terminal.hangs_up();
    assert_eq!(terminal.code(), 129);
    assert!(owners(cluster.node(0), KEY).is_empty());
}
