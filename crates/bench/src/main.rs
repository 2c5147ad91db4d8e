//! The cost of a lock, side by side with what people use instead.
//!
//! ```text
//! make bench                                                      everything, in under seven minutes
//! cargo run --release --package redis-lock-bench -- memory        one measurement (several may be named)
//! cargo run --release --package redis-lock-bench -- --quick       seconds: shows that it runs, not what it costs
//! ```
//!
//! **What is measured.** The CPU time of the server's main thread that a round of commands takes
//! (`used_cpu_user_main_thread` + `used_cpu_sys_main_thread` of INFO, in microseconds). Wall time would
//! include the client and the machine's other work.
//!
//! **How.** Contestants take turns, many short rounds each, in rotating order. What slows the machine for a
//! while slows all of them, and all run on one CPU. A figure is the median over the rounds, and a ratio is
//! one median divided by another. A round sends its commands over one unix socket, as pipelines with one in
//! flight at a time, and checks every reply. With an append-only file a round ends when its last byte has
//! been passed to the kernel. Rewrites of that file are off.
//!
//! **Against what.** `SET key owner NX PX ttl` acquires a lock the native way, `DEL` releases it without
//! checking the holder, and a script (`EVALSHA`, compare-and-delete) does so safely. They run on a server
//! without the module. A control row runs SET + DEL on the server with the module, for the cost of its mere
//! presence to other commands.
//!
//! **Memory** is the growth of `used_memory` for a number of held locks, against as many native keys with the
//! same names, the same values and a time to live. Their tables grow at the same counts.
//!
//! **A million locks held**: two servers that differ in nothing else take turns with acquire + release on
//! names of their own, with a ttl below that of the locks held, and above it. Every pair of a round has a
//! fresh name, which leads to a part of the server's key table that is not in the CPU's caches. Native keys
//! are subject to the same, and their rows show how much of the difference that is. So do the rows on few
//! names, whose data stays in the caches.
//!
//! **Reclaim** is the time from a lock's deadline to the arrival of its `lock.expired` event at the client.
//! The deadline is counted from before the acquire was sent, so the figure is never too small.
//!
//! **Hand-off**: clients that all wait in the queue of one lock, and rejoin it after each hold; or, to
//! compare, pass a token around in a list with BLPOP and RPUSH. One thread plays all of them (`crowd.rs`), in
//! the same way for every contestant. Wall time is from one hand-off to the next: two commands and two
//! replies.
//!
//! **Drain**: a lock with many SHARED waiters is deleted. The figures are the server's CPU time per waiter,
//! and the delay of a client that has nothing to do with it.
//!
//! **Contention**: the same with 64 clients that hold for a while, against polling with `SET NX PX`. A wait
//! counts from the first command that was sent for it.
//!
//! **Quorum**: acquire and release over 1, 3 and 5 nodes by the quorum client, against the crate rslock on
//! the same nodes. All run on this machine: with more nodes than CPUs, wall time includes their CPU time,
//! which is therefore given too.
//!
//! **Several**: many clients with connections of their own want one lock over several nodes, on one thread:
//! fairness and speed. The servers count requests for locks, once each client has had a turn. **Storm**: the
//! same beside callers that do not wait. **Faults**: the same while a node is killed or stopped.
//!
//! A figure that exceeds its bound is marked `MISSED`. The exit status is still 0, since a busy machine can
//! be the reason.

mod contender;
mod contention;
mod contest;
mod cpus;
mod crowd;
mod drain;
mod handoff;
mod info;
mod kinds;
mod memory;
mod million;
mod pairs;
mod quorum;
mod reclaim;
mod several;
mod size;
mod table;
mod workload;

use size::Size;
use std::process::ExitCode;
use std::time::Instant;
use table::Table;

type Measurement = fn(&Size) -> Vec<Table>;

const MEASUREMENTS: [(&str, Measurement); 11] = [
    ("pairs", pairs::measure),
    ("kinds", kinds::measure),
    ("memory", memory::measure),
    ("million", million::measure),
    ("handoff", handoff::measure),
    ("drain", drain::measure),
    ("contention", contention::measure),
    ("quorum", quorum::measure),
    ("several", several::measure),
    ("storm", several::measure_storm),
    ("faults", several::measure_faults),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (flags, names): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|argument| argument.starts_with('-'));
    let known = |name: &&str| MEASUREMENTS.iter().any(|(measurement, _)| measurement == name);
    if !flags.iter().all(|flag| *flag == "--quick") || !names.iter().all(known) {
        eprintln!(
            "usage: redis-lock-bench [--quick] [pairs] [kinds] [memory] [million] [handoff] [drain] [contention] [quorum] [several] [storm] [faults]"
        );
        return ExitCode::from(2);
    }
    run(&if flags.is_empty() { Size::FULL } else { Size::QUICK }, &names);
    ExitCode::SUCCESS
}

fn run(size: &Size, names: &[&str]) {
    let began = Instant::now();
    println!(
        "{}, {} CPUs",
        info::server_version(),
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    let (mut bounds, mut missed) = (0, 0);
    for (name, measure) in MEASUREMENTS {
        if !names.is_empty() && !names.contains(&name) {
            continue;
        }
        for table in measure(size) {
            print!("\n{table}");
            bounds += table.bounds();
            missed += table.missed();
        }
    }
    println!("\n{} of {bounds} bounds kept; {:.0} s", bounds - missed, began.elapsed().as_secs_f64());
}
