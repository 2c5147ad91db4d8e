//! Local servers with the module, on unix sockets in a directory of their own.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub const COUNT: usize = 5;
/// A server starts in milliseconds, but takes longer on a busy machine.
const START_BOUND: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);
/// Characters that have another meaning in a URL, or none.
const NOT_IN_A_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_');

/// The nodes. On drop, they are killed and their files removed.
pub struct Nodes {
    server: PathBuf,
    module: PathBuf,
    running: Vec<Option<Child>>,
    // Last: dropped, and so removed, when no process uses it any longer.
    dir: TempDir,
}

impl Nodes {
    /// Finds the server program and the module. Nothing is started.
    ///
    /// # Errors
    /// Returns what is missing, and what to do.
    pub fn find(server: Option<PathBuf>, module: Option<PathBuf>) -> Result<Nodes, String> {
        let server = match server {
            Some(server) if answers(&server) => server,
            Some(server) => {
                return Err(format!(
                    "{} can't be run: give --server a redis-server or valkey-server",
                    server.display()
                ));
            }
            None => {
                ["redis-server", "valkey-server"].iter().map(PathBuf::from).find(|name| answers(name)).ok_or(
                    "neither redis-server nor valkey-server is here: install one (Debian: apt-get install \
                 redis-server), or give its path with --server",
                )?
            }
        };
        let module = match module {
            Some(module) => module,
            None => beside_this_program().map_err(|error| format!("this program can't be found: {error}"))?,
        };
        let module = module.canonicalize().map_err(|error| {
            format!(
                "the module {} is not there ({error}): build it with cargo build --release, or give its path \
                 with --module",
                module.display()
            )
        })?;
        let dir = tempfile::Builder::new().prefix("redis-lock-demo").tempdir();
        let dir = dir.map_err(|error| format!("no temporary directory: {error}"))?;
        let nodes = Nodes { server, module, running: (0..COUNT).map(|_| None).collect(), dir };
        SocketAddr::from_pathname(nodes.socket(COUNT)).map_err(|error| {
            format!(
                "no socket can be at {}: {error}. Set TMPDIR to a directory with a shorter path, such as /tmp",
                nodes.socket(COUNT).display()
            )
        })?;
        Ok(nodes)
    }

    pub fn server(&self) -> &Path {
        &self.server
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the node's URL. Nodes are numbered from 1.
    pub fn url(&self, number: usize) -> String {
        let path = self.socket(number);
        format!("redis+unix://{}", percent_encode(path.as_os_str().as_bytes(), NOT_IN_A_PATH))
    }

    pub fn urls(&self) -> Vec<String> {
        (1..=COUNT).map(|number| self.url(number)).collect()
    }

    pub fn pid(&self, number: usize) -> u32 {
        self.running[number - 1].as_ref().map_or(0, Child::id)
    }

    fn socket(&self, number: usize) -> PathBuf {
        self.dir().join(format!("node{number}"))
    }

    /// Starts all nodes, and waits until they answer.
    ///
    /// # Errors
    /// Returns the log of a server that did not start.
    pub async fn start(&mut self) -> Result<(), String> {
        for number in 1..=COUNT {
            let child = self.spawn(number).map_err(|error| format!("{}: {error}", self.server.display()))?;
            self.running[number - 1] = Some(child);
        }
        for number in 1..=COUNT {
            self.wait_for(number).await?;
        }
        Ok(())
    }

    fn spawn(&self, number: usize) -> io::Result<Child> {
        let mut command = Command::new(&self.server);
        // No port: only this user has access, and no other program can be in the way.
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--dir"]).arg(self.dir());
        command.arg("--unixsocket").arg(self.socket(number)).args(["--unixsocketperm", "700"]);
        command.arg("--loadmodule").arg(&self.module);
        command.args(["--logfile", &format!("log{number}")]);
        // Ctrl-C in a terminal must reach only this program, which then ends the servers.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let parent = rustix::process::getpid();
        // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
        unsafe { command.pre_exec(move || crate::child::end_with_parent(parent)) };
        command.spawn()
    }

    async fn wait_for(&mut self, number: usize) -> Result<(), String> {
        let begun = tokio::time::Instant::now();
        while UnixStream::connect(self.socket(number)).is_err() {
            let child = self.running[number - 1].as_mut();
            let ended = child.is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || begun.elapsed() > START_BOUND {
                let log =
                    std::fs::read_to_string(self.dir().join(format!("log{number}"))).unwrap_or_default();
                return Err(format!("node {number} did not start:\n{log}"));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Kills the node, as kill -9 does.
    pub fn kill(&mut self, number: usize) {
        if let Some(mut child) = self.running[number - 1].take() {
            // Both fail only if the process has already ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        (1..=COUNT).for_each(|number| self.kill(number));
    }
}

fn answers(program: &Path) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn beside_this_program() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(format!("libredis_lock{}", std::env::consts::DLL_SUFFIX)))
}
