//! Thousands of clients on one thread, each a loop of acquire, hold and release. What they do between a reply
//! and the next command costs little, so the figures are those of the server and the network.

use crate::contender::{Contender, Next};
use redis_lock_harness::Server;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::Timespec;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// No reply and no hold takes longer than this.
const BOUND: Duration = Duration::from_secs(30);
const EVENTS: usize = 1_024;

/// Clients of one server that all want the same lock.
pub struct Crowd {
    epoll: OwnedFd,
    members: Vec<Member>,
    asleep: BinaryHeap<Reverse<(Instant, usize)>>,
}

struct Member {
    stream: UnixStream,
    received: Vec<u8>,
    contender: Contender,
}

impl Crowd {
    /// Connects all clients, and has each send its first command.
    pub fn begin(server: &Server, contenders: impl IntoIterator<Item = Contender>) -> Crowd {
        let epoll = epoll::create(CreateFlags::CLOEXEC).expect("the system has epoll");
        let mut crowd = Crowd { epoll, members: Vec::new(), asleep: BinaryHeap::new() };
        for (index, contender) in contenders.into_iter().enumerate() {
            let stream = UnixStream::connect(server.socket())
                .unwrap_or_else(|error| panic!("connection {index} to the server: {error} (ulimit -n?)"));
            stream.set_nonblocking(true).expect("a socket can be made not to block");
            epoll::add(&crowd.epoll, &stream, EventData::new_u64(index as u64), EventFlags::IN)
                .expect("a socket can be waited for");
            crowd.members.push(Member { stream, received: Vec::new(), contender });
            let next = crowd.members[index].contender.begin(Instant::now());
            crowd.carry_out(index, next);
        }
        crowd
    }

    /// Returns the clients.
    pub fn contenders(&self) -> impl Iterator<Item = &Contender> {
        self.members.iter().map(|member| &member.contender)
    }

    /// Forgets all measurements.
    pub fn reset(&mut self) {
        self.members.iter_mut().for_each(|member| member.contender.reset());
    }

    /// Runs until the lock was acquired `acquires` times or `time` has passed. Returns how often it was.
    pub fn run(&mut self, acquires: usize, time: Duration) -> usize {
        let end = Instant::now() + time;
        let mut acquired = 0;
        let mut events = [const { MaybeUninit::<Event>::uninit() }; EVENTS];
        while acquired < acquires {
            let now = Instant::now();
            if now >= end {
                break;
            }
            self.wake_sleepers(now);
            let wait = self.next_sleeper().unwrap_or(end).min(end).saturating_duration_since(Instant::now());
            let wait = Timespec::try_from(wait.min(BOUND)).expect("a short time");
            let (ready, _) = epoll::wait(&self.epoll, &mut events, Some(&wait)).expect("epoll waits");
            let ready: Vec<usize> = ready.iter().map(|event| event.data.u64() as usize).collect();
            acquired += ready.into_iter().filter(|&index| self.read(index)).count();
        }
        acquired
    }

    fn next_sleeper(&self) -> Option<Instant> {
        self.asleep.peek().map(|Reverse((at, _))| *at)
    }

    fn wake_sleepers(&mut self, now: Instant) {
        while self.next_sleeper().is_some_and(|at| at <= now) {
            if let Some(Reverse((_, index))) = self.asleep.pop() {
                let next = self.members[index].contender.slept(now);
                self.carry_out(index, next);
            }
        }
    }

    /// Reads what has arrived. Returns whether it was the lock.
    fn read(&mut self, index: usize) -> bool {
        let member = &mut self.members[index];
        let mut buffer = [0; 512];
        match member.stream.read(&mut buffer) {
            Ok(0) => panic!("the server closed connection {index}"),
            Ok(count) => member.received.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("connection {index}: {error}"),
        }
        if !is_complete(&member.received) {
            return false;
        }
        let before = member.contender.acquires();
        let next = member.contender.replied(&member.received, Instant::now());
        member.received.clear();
        let acquired = member.contender.acquires() > before;
        self.carry_out(index, next);
        acquired
    }

    fn carry_out(&mut self, index: usize, next: Next) {
        match next {
            // Far smaller than a socket's buffer, and nothing else is in flight.
            Next::Send(bytes) => self.members[index].stream.write_all(&bytes).expect("a command can be sent"),
            Next::SleepUntil(at) => self.asleep.push(Reverse((at, index))),
        }
    }
}

/// Returns whether a reply is complete: one line, or an array of bulk strings.
fn is_complete(reply: &[u8]) -> bool {
    let lines = reply.iter().filter(|&&byte| byte == b'\n').count();
    let wanted = match reply {
        [b'*', count @ b'1'..=b'9', ..] => 1 + 2 * usize::from(count - b'0'),
        _ => 1,
    };
    lines >= wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_complete_with_their_last_line() {
        for (reply, complete) in [
            (&b":1"[..], false),
            (b":1\r\n", true),
            (b"$-1\r\n", true),
            (b"*2\r\n$1\r\nk\r\n$1\r\n", false),
            (b"*2\r\n$1\r\nk\r\n$1\r\nv\r\n", true),
            (b"*-1\r\n", true),
        ] {
            assert_eq!(is_complete(reply), complete, "{reply:?}");
        }
    }
}
