//! The configuration of a server, and its start.

use crate::clocks::Clocks;
use crate::poll::eventually;
use crate::port::free_port;
use crate::server::{Server, CLOCK_FILE};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

pub(crate) const CONFIG_FILE: &str = "redis.conf";
const SYNC_BOUND: Duration = Duration::from_secs(30);

/// Returns the module under test: `REDIS_LOCK_MODULE`, else the release build of this workspace.
pub fn module_path() -> PathBuf {
    std::env::var_os("REDIS_LOCK_MODULE").map(PathBuf::from).unwrap_or_else(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let name = format!("target/release/libredis_lock{}", std::env::consts::DLL_SUFFIX);
        workspace.canonicalize().expect("the workspace is there").join(name)
    })
}

/// Returns the server to test with: `REDIS_SERVER`, else redis-server, else valkey-server.
pub fn server_binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        if let Some(chosen) = std::env::var_os("REDIS_SERVER") {
            return chosen.into();
        }
        ["redis-server", "valkey-server"]
            .into_iter()
            .find(|name| Command::new(name).arg("--version").output().is_ok())
            .expect("redis-server or valkey-server is installed, or REDIS_SERVER names one")
            .into()
    };
    BINARY.get_or_init(find).clone()
}

/// A server that has not been started.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    lines: Vec<(String, String)>,
    tcp: bool,
    without_module: bool,
    movable_clocks: bool,
    master: bool,
}

impl Builder {
    /// Adds a line to redis.conf, after `loadmodule`, for example `.config("lock.cooldown", "1000")`.
    pub fn config(mut self, name: &str, value: &str) -> Builder {
        self.lines.push((name.into(), value.into()));
        self
    }

    /// Also listens on a free port of 127.0.0.1.
    pub fn tcp(mut self) -> Builder {
        self.tcp = true;
        self
    }

    /// Starts a server without the module.
    pub fn without_module(mut self) -> Builder {
        self.without_module = true;
        self
    }

    /// Lets [`Server::step_wall`] and [`Server::step_monotonic`] move the clocks of the running server.
    pub fn movable_clocks(mut self) -> Builder {
        self.movable_clocks = true;
        self
    }

    /// Makes it a replica of `master`, which must listen on a port. The start then waits for the first
    /// synchronisation.
    pub fn replica_of(mut self, master: &Server) -> Builder {
        self.master = true;
        self.tcp().config("replicaof", &format!("127.0.0.1 {}", master.port()))
    }

    /// Returns the same kind of server, without its configuration: module and clocks.
    pub(crate) fn same_kind(&self) -> Builder {
        Builder {
            without_module: self.without_module,
            movable_clocks: self.movable_clocks,
            ..Builder::default()
        }
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    /// Panics with the server's log if it does not answer within 20 seconds.
    #[track_caller]
    pub fn start(self) -> Server {
        assert!(
            self.without_module || module_path().exists(),
            "the module {} is not there: run `cargo build --release` or set REDIS_LOCK_MODULE",
            module_path().display()
        );
        let dir = tempfile::Builder::new().prefix("lock").tempdir().expect("a temporary directory");
        let clocks = self
            .movable_clocks
            .then(|| Clocks::create(&dir.path().join(CLOCK_FILE)).expect("the file of the clocks"));
        let port = self.needs_port().then(free_port);
        std::fs::write(dir.path().join(CONFIG_FILE), self.file(dir.path(), port))
            .expect("the configuration can be written");
        let process = crate::server::launch(dir.path(), self.movable_clocks)
            .unwrap_or_else(|log| panic!("the server did not start:\n{log}"));
        let server = Server::new(self, dir, process, port, clocks);
        if server.setup.master {
            eventually(SYNC_BOUND, || server.link_is_up());
        }
        server
    }

    /// Returns whether a port must be chosen. A cluster node without one would listen on a fixed port.
    fn needs_port(&self) -> bool {
        self.tcp || self.lines.iter().any(|(name, value)| name == "cluster-enabled" && value == "yes")
    }

    fn file(&self, dir: &Path, port: Option<u16>) -> String {
        let mut file = format!(
            "bind 127.0.0.1\nport {}\ndir {}\nunixsocket {}\n\
             save \"\"\nappendonly no\nenable-debug-command yes\nenable-module-command yes\n\
             repl-diskless-sync-delay 0\n",
            port.unwrap_or(0),
            quoted(dir),
            quoted(&dir.join(crate::server::SOCKET_FILE)),
        );
        if !self.without_module {
            writeln!(file, "loadmodule {}", quoted(&module_path())).expect("a string takes all");
        }
        for (name, value) in &self.lines {
            let value = if value.is_empty() { "\"\"" } else { value };
            writeln!(file, "{name} {value}").expect("a string takes all");
        }
        file
    }
}

fn quoted(path: &Path) -> String {
    let path = path.to_str().expect("paths of tests are UTF-8");
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}
