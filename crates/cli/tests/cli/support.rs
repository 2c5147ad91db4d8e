//! Starts the program, and looks at what it prints and leaves.

use redis_lock_harness::{Cluster, Node, eventually};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Long enough on a busy machine.
pub const BOUND: Duration = Duration::from_secs(30);
pub const STRANGER: &str = "stranger";
pub const KEY: &str = "report";

/// A running program. Killed when dropped.
pub struct Program {
    child: Child,
    pub stdin: Option<ChildStdin>,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

/// What a program came to.
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Outcome {
    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by signal {:?}: {self:?}", self.status.signal()))
    }
}

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-lock"));
    command.env_remove("REDIS_LOCK_NODES").env_remove("REDIS_LOCK_FENCE");
    listen_to_signals(&mut command);
    command
}

/// What starts the tests may ignore signals (nohup, a shell's `&`), and a program inherits that.
pub fn listen_to_signals(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let listen = || {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGCHLD] {
            // SAFETY: a signal's default action involves no code of this program.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(listen) };
}

/// `redis-lock run` on these nodes, with these arguments.
pub fn run<'a>(urls: &[String], arguments: impl IntoIterator<Item = &'a str>) -> Program {
    let mut command = program();
    command.arg("run");
    for url in urls {
        command.args(["--node", url]);
    }
    command.args(["--key", KEY]).args(arguments);
    start(command)
}

pub fn start(mut command: Command) -> Program {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program is built");
    let (out, err) = (Arc::default(), Arc::default());
    let readers = vec![
        collect(child.stdout.take().expect("it is piped"), &out),
        collect(child.stderr.take().expect("it is piped"), &err),
    ];
    Program { stdin: child.stdin.take(), child, out, err, readers }
}

fn collect(from: impl Read + Send + 'static, into: &Arc<Mutex<String>>) -> std::thread::JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

impl Program {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn out(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    pub fn err(&self) -> String {
        self.err.lock().unwrap().clone()
    }

    /// Waits until it has printed this.
    #[track_caller]
    pub fn says(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            let ended = self.child.try_wait().expect("it can be waited for");
            let late = start.elapsed() > BOUND;
            if ended.is_some() {
                self.read_all();
            }
            let (out, err) = (self.out(), self.err());
            if out.contains(text) || err.contains(text) {
                return;
            }
            assert!(ended.is_none() && !late, "ended ({ended:?}) or silent without {text:?}: {out}{err}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end of what it printed.
    fn read_all(&mut self) {
        for reader in self.readers.drain(..) {
            reader.join().expect("reading does not panic");
        }
    }

    #[track_caller]
    pub fn signal(&self, signal: i32) {
        kill(self.id(), signal);
    }

    /// Waits for the end.
    #[track_caller]
    pub fn outcome(mut self) -> Outcome {
        drop(self.stdin.take());
        let status = eventually(BOUND, || self.child.try_wait().expect("it can be waited for"));
        self.read_all();
        Outcome { status, out: self.out(), err: self.err() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended as a rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
pub fn kill(process: u32, signal: i32) {
    // SAFETY: no memory is involved.
    let sent = unsafe { libc::kill(process as libc::pid_t, signal) };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
}

/// Whether a process runs; one that has ended and is not waited for does not.
pub fn is_running(process: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(process).join("stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

/// Takes the lock on these nodes for someone else.
#[track_caller]
pub fn hold_for_stranger(nodes: &[Node]) {
    for node in nodes {
        let reply = node.server().connect().run(["LOCK.ACQUIRE", KEY, STRANGER, "600000"]);
        assert!(reply.int() > 0, "{reply:?}");
    }
}

pub fn release_of_stranger(nodes: &[Node]) {
    for node in nodes {
        node.server().connect().run(["LOCK.RELEASE", KEY, STRANGER]);
    }
}

/// Owners that hold, and that wait, on a node.
pub fn owners(node: &Node, key: &str) -> Vec<String> {
    let info = node.server().connect().run(["LOCK.INFO", key]);
    if info.is_nil() {
        return Vec::new();
    }
    let all = info.get("holders").array().iter().chain(info.get("waiters").array());
    all.map(|one| one.get("owner").text().to_owned()).collect()
}

/// Nobody but strangers holds or waits, at once or soon.
#[track_caller]
pub fn nothing_is_left(cluster: &Cluster) {
    eventually(BOUND, || {
        cluster.nodes().iter().all(|node| owners(node, KEY).iter().all(|owner| owner == STRANGER))
    });
}

/// Two processes that do not listen to SIGTERM, one the child of the other; both tell their numbers.
pub const STUBBORN: &str = r#"
    trap '' TERM INT
    sh -c 'trap "" TERM; echo inner $$ end; while :; do sleep 0.1; done' &
    echo outer $$ end
    while :; do sleep 0.1; done"#;

/// The number that a process of the script told.
#[track_caller]
pub fn number(program: &mut Program, name: &str) -> String {
    eventually(BOUND, || {
        let out = program.out();
        let (_, rest) = out.split_once(&format!("{name} "))?;
        rest.split_once(" end").map(|(number, _)| number.to_owned())
    })
}

/// `/proc/PROCESS/status`.
#[cfg(target_os = "linux")]
pub fn status(process: &str) -> String {
    std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default()
}

/// A child of a process, by its name.
#[cfg(target_os = "linux")]
pub fn child_of(parent: u32, name: &str) -> Option<String> {
    let processes = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().into_string().ok());
    numbers.find(|process| {
        let status = status(process);
        status.contains(&format!("PPid:\t{parent}\n")) && status.starts_with(&format!("Name:\t{name}\n"))
    })
}

/// The process that watches over another one.
#[cfg(target_os = "linux")]
pub fn watchdog_of(parent: u32) -> String {
    // Before it is one it is a copy of its parent, but for the arguments.
    let is_one = |process: &String| {
        let arguments = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).nth(1) == Some(b"watchdog")
    };
    eventually(BOUND, || child_of(parent, "exe").or_else(|| child_of(parent, "redis-lock")).filter(is_one))
}
