//! A running server.

use crate::builder::{server_binary, Builder, CONFIG_FILE};
use crate::client::Client;
use crate::clocks::Clocks;
use crate::poll::{eventually, within};
use crate::process::Process;
use crate::reply::Reply;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const SOCKET_FILE: &str = "socket";
pub(crate) const CLOCK_FILE: &str = "clocks";
const LOG_FILE: &str = "log";
const START_BOUND: Duration = Duration::from_secs(20);
/// A server that waits for its replicas after SIGTERM takes up to ten seconds.
const STOP_BOUND: Duration = Duration::from_secs(30);
const SYNC_BOUND: Duration = Duration::from_secs(30);
/// Number of log lines of each server that a panicking test shows.
const SHOWN_LINES: usize = 60;

/// A server with a directory of its own. Dropping it ends the process and removes the directory.
pub struct Server {
    pub(crate) setup: Builder,
    process: Process,
    port: Option<u16>,
    socket: PathBuf,
    clocks: Option<Clocks>,
    // Last: removed after the process has ended.
    dir: TempDir,
}

impl Server {
    /// Starts a server with the module: unix socket only, no persistence, DEBUG allowed.
    #[track_caller]
    pub fn start() -> Server {
        Server::builder().start()
    }

    /// Returns a server that can be configured before its start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(
        setup: Builder,
        dir: TempDir,
        process: Process,
        port: Option<u16>,
        clocks: Option<Clocks>,
    ) -> Server {
        let socket = dir.path().join(SOCKET_FILE);
        Server { setup, process, port, socket, clocks, dir }
    }

    /// Returns the port on 127.0.0.1.
    ///
    /// # Panics
    /// Panics if the server was built without [`Builder::tcp`].
    #[track_caller]
    pub fn port(&self) -> u16 {
        self.port.expect("the server listens on a port: build it with .tcp()")
    }

    /// Returns the path of the unix socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Returns the server's working directory: redis.conf, log, RDB and AOF.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns everything that the server has logged or printed, over all restarts.
    pub fn log(&self) -> String {
        read_log(self.dir(), 0)
    }

    /// Returns whether the process runs, even if it is frozen.
    pub fn is_alive(&self) -> bool {
        self.process.ended().is_none()
    }

    /// Returns whether the server runs a `DEBUG SLEEP`: what arrives meanwhile is read in its next cycle.
    pub fn is_in_debug_sleep(&self) -> bool {
        let call = std::fs::read_to_string(format!("/proc/{}/syscall", self.pid())).unwrap_or_default();
        let number = call.split(' ').next().and_then(|number| number.parse().ok());
        number.is_some_and(|number| [libc::SYS_nanosleep, libc::SYS_clock_nanosleep].contains(&number))
    }

    /// Returns a connection with RESP2.
    #[track_caller]
    pub fn connect(&self) -> Client {
        match Client::open(self.socket()) {
            Ok(client) => client,
            Err(error) => panic!("no connection to the server: {error}"),
        }
    }

    /// Returns a connection with RESP3.
    #[track_caller]
    pub fn connect_resp3(&self) -> Client {
        let mut client = self.connect();
        let hello = client.run(["HELLO", "3"]);
        assert!(!hello.is_error(), "{hello:?}");
        client
    }

    /// Returns the fields of a section of INFO.
    #[track_caller]
    pub fn info(&self, section: &str) -> BTreeMap<String, String> {
        fields(&self.connect().run(["INFO", section]))
    }

    /// Returns one numeric field of a section of INFO.
    #[track_caller]
    pub fn info_u64(&self, section: &str, field: &str) -> u64 {
        let info = self.info(section);
        match info.get(field).map(|value| value.parse()) {
            Some(Ok(value)) => value,
            _ => panic!("no number {field} in INFO {section}: {info:?}"),
        }
    }

    /// Moves the running server's wall clock, forward or (negative) back.
    #[track_caller]
    pub fn step_wall(&self, ms: i64) {
        self.movable().step_wall(ms);
    }

    /// Moves the running server's monotonic clock. (A timerfd still follows the kernel's clock.)
    #[track_caller]
    pub fn step_monotonic(&self, ms: i64) {
        self.movable().step_monotonic(ms);
    }

    #[track_caller]
    fn movable(&self) -> &Clocks {
        self.clocks.as_ref().expect("the clocks are movable: build the server with .movable_clocks()")
    }

    /// Sends SIGKILL, and waits for the end.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Sends SIGTERM, and waits for the end.
    #[track_caller]
    pub fn stop(&self) {
        self.process.signal(libc::SIGTERM);
        assert!(self.process.wait(STOP_BOUND), "SIGTERM did not end the server:\n{}", self.log());
    }

    /// Restarts it in the same directory, with the same configuration and port, and waits until it has loaded
    /// its data. A running server is stopped first.
    #[track_caller]
    pub fn restart(&mut self) {
        self.start_again();
    }

    /// Does what [`Server::restart`] does, for servers that several threads share.
    #[track_caller]
    pub(crate) fn start_again(&self) {
        self.stop();
        match launch(self.dir(), self.clocks.is_some()) {
            Ok(process) => self.process.become_this(process),
            Err(log) => panic!("the server did not start again:\n{log}"),
        }
    }

    /// Sends SIGSTOP: connections stay open and nothing is answered.
    pub fn freeze(&self) {
        self.process.signal(libc::SIGSTOP);
    }

    /// Sends SIGCONT, to continue after [`Server::freeze`].
    pub fn thaw(&self) {
        self.process.signal(libc::SIGCONT);
    }

    /// Starts a replica of this server, which must listen on a port, and waits until it is in sync. For a
    /// replica with a configuration of its own see [`Builder::replica_of`].
    #[track_caller]
    pub fn replica(&self) -> Server {
        let replica = self.setup.same_kind().replica_of(self).start();
        self.wait_synced(&replica);
        replica
    }

    /// Waits until `replica` has processed everything that this server has written so far.
    #[track_caller]
    pub fn wait_synced(&self, replica: &Server) {
        let written = self.info_u64("replication", "master_repl_offset");
        eventually(SYNC_BOUND, || {
            replica.link_is_up() && replica.info_u64("replication", "slave_repl_offset") >= written
        });
    }

    pub(crate) fn link_is_up(&self) -> bool {
        self.info("replication").get("master_link_status").is_some_and(|link| link == "up")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill();
        if std::thread::panicking() {
            eprintln!("--- from the log of server {}:\n{}\n---", self.pid(), shown(&self.log()));
        }
    }
}

/// Starts a process in `dir`, and waits until it answers and has loaded. Returns its log if it fails.
pub(crate) fn launch(dir: &Path, movable_clocks: bool) -> Result<Process, String> {
    let logged_before = std::fs::metadata(dir.join(LOG_FILE)).map_or(0, |file| file.len() as usize);
    let mut command = Command::new(server_binary());
    command.arg(dir.join(CONFIG_FILE)).current_dir(dir);
    if movable_clocks {
        Clocks::preload(&mut command, &dir.join(CLOCK_FILE));
    }
    let process = Process::start(command, &dir.join(LOG_FILE))
        .map_err(|error| format!("{}: {error}", server_binary().display()))?;
    let answer = within(START_BOUND, || {
        if let Some(status) = process.ended() {
            return Some(Err(format!("the server ended with {status}")));
        }
        answers(&dir.join(SOCKET_FILE)).then_some(Ok(()))
    });
    let problem = match answer {
        Some(Ok(())) => return Ok(process),
        Some(Err(problem)) => problem,
        None => format!("no answer within {START_BOUND:?}"),
    };
    process.kill();
    Err(format!("{}\n{problem}", read_log(dir, logged_before)))
}

/// Returns whether it answers. Any answer counts, even that a password is needed, except that it is loading.
fn answers(socket: &Path) -> bool {
    match Client::open(socket).and_then(|mut client| client.try_run(["PING"])) {
        Ok(Reply::Error(line)) => !line.starts_with("LOADING"),
        reply => reply.is_ok(),
    }
}

/// Returns the log as text, which may contain arbitrary bytes. A missing file is empty.
fn read_log(dir: &Path, from: usize) -> String {
    let bytes = std::fs::read(dir.join(LOG_FILE)).unwrap_or_default();
    String::from_utf8_lossy(&bytes[from.min(bytes.len())..]).into_owned()
}

fn fields(info: &Reply) -> BTreeMap<String, String> {
    info.text()
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

/// Returns the end of a log, and the beginning of a crash report in it, which says what happened and where.
fn shown(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    match lines.iter().position(|line| line.contains("BUG REPORT START")) {
        Some(start) => {
            let first = &lines[start..lines.len().min(start + SHOWN_LINES)];
            format!("{}\n[...]\n{}", first.join("\n"), last.join("\n"))
        }
        None => last.join("\n"),
    }
}
