//! Figures that the server reports.

use redis_lock_harness::{eventually, Client, Server};
use std::time::Duration;

const FLUSH_BOUND: Duration = Duration::from_secs(30);

/// Returns the CPU time that the main thread has used so far, in microseconds.
pub fn cpu_micros(client: &mut Client) -> f64 {
    let info = client.run(["INFO", "cpu"]);
    let seconds = |name: &str| -> f64 {
        field(info.text(), name)
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("this server's INFO cpu has no {name}"))
    };
    (seconds("used_cpu_user_main_thread") + seconds("used_cpu_sys_main_thread")) * 1e6
}

/// Waits until nothing of the append-only file is left in the server's memory. While an fsync runs, the
/// server postpones writing for up to two seconds.
pub fn wait_until_written(client: &mut Client) {
    eventually(FLUSH_BOUND, || {
        let info = client.run(["INFO", "persistence"]);
        field(info.text(), "aof_buffer_length").is_none_or(|length| length == "0")
    });
}

/// Returns the bytes that the server has allocated, once that no longer changes: a key table that has just
/// grown moves its entries gradually.
pub fn settled_memory(server: &Server) -> u64 {
    const UNCHANGED: u64 = 4096;
    let read = || server.info_u64("memory", "used_memory");
    let mut last = read();
    for _ in 0..100 {
        // Longer than the server's own period of 100 ms, in which it moves entries.
        std::thread::sleep(Duration::from_millis(250));
        let now = read();
        if now.abs_diff(last) < UNCHANGED {
            return now;
        }
        last = now;
    }
    panic!("the server's used_memory does not settle");
}

/// Returns the name and version of the server under test.
pub fn server_version() -> String {
    let info = Server::builder().without_module().start().info("server");
    match info.get("valkey_version") {
        Some(version) => format!("Valkey {version}"),
        None => {
            format!("Redis {}", info.get("redis_version").map_or("of an unknown version", String::as_str))
        }
    }
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}
