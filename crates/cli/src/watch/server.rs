//! The watched server: finds and reads its locks, with bounded work at a time.

use super::changes::{Change, Told, changes};
use super::locks::{LockInfo, text};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind,
    RedisError, Value,
};
use redis_lock_quorum::{Meaning, ServerError, order};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Keys per step of a search, which goes on the next time.
const KEYS_PER_SCAN: usize = 1_000;
const SCANS_PER_SEARCH: usize = 20;
/// Maximum number of locks that are read at a time.
const MAX_LOOKS: usize = 1_000;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why nothing can be shown.
pub enum Problem {
    /// The server is not reachable at the moment.
    Server(String),
    /// The URL is wrong.
    Usage(String),
    /// The server refuses, and a retry does not help.
    Refused(String),
}

/// What is known of a server's locks.
#[derive(Default)]
pub struct Known {
    /// Whether all locks that existed at the beginning have been read.
    begun: bool,
    locks: BTreeMap<Vec<u8>, Option<LockInfo>>,
}

/// A server, and what is known of its locks.
pub struct Server {
    name: String,
    pattern: String,
    /// The only name that the pattern matches, if it can match no other.
    exact: Option<Vec<u8>>,
    connection: MultiplexedConnection,
    pushes: UnboundedReceiver<PushInfo>,
    /// The kind of its keyspace events; `None` if there are none.
    events: Option<Events>,
    cursor: u64,
    /// Whether all keys have been searched once.
    searched: bool,
    known: Known,
    /// Locks to read next.
    due: VecDeque<Vec<u8>>,
    /// Locks with events since they were last read.
    told: BTreeMap<Vec<u8>, Told>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Events {
    /// `__keyspace@0__:key`, with the event as the message.
    Keyspace,
    /// `__keyevent@0__:event`, with the key as the message.
    Keyevent,
}

impl Server {
    pub async fn connect(url: &str, pattern: &str) -> Result<Server, Problem> {
        let wrong = |error: RedisError| {
            Problem::Usage(format!(
                "the URL of --node is wrong: {error}. It is to look like redis://host:6379, \
                 rediss://user:password@host:6379/db or redis+unix:///path/of/socket"
            ))
        };
        let info = url.into_connection_info().map_err(wrong)?;
        let name = info.addr().to_string();
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let database = settings.db();
        let client = Client::open(info.set_redis_settings(settings)).map_err(wrong)?;
        let (sender, pushes) = unbounded_channel();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT))
            .set_push_sender(sender);
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        let connection = connection.map_err(|error| failed(&name, &error))?;
        let mut server = Server {
            name,
            pattern: pattern.into(),
            exact: exact_name(pattern.as_bytes()),
            connection,
            pushes,
            events: None,
            cursor: 0,
            searched: false,
            known: Known::default(),
            due: VecDeque::new(),
            told: BTreeMap::new(),
        };
        server.check_module().await?;
        server.listen(database).await?;
        if let Some(name) = &server.exact {
            // A lock without a holder has no key that can be found, but may have waiters.
            server.known.locks.insert(name.clone(), None);
        }
        Ok(server)
    }

    /// Continues from what was known when an earlier connection broke. Holds that ended since are reported.
    pub fn resume(&mut self, known: Known) {
        self.known.begun = known.begun;
        self.known.locks.extend(known.locks);
    }

    /// Returns what the next connection continues from.
    pub fn into_known(self) -> Known {
        self.known
    }

    /// Returns what people must know about it.
    pub fn about(&self) -> String {
        let how = match self.events {
            Some(_) => "keyspace events tell what happens",
            None => {
                "no keyspace events (CONFIG SET notify-keyspace-events Kd turns them on): looking again and again"
            }
        };
        format!("{} {}: {how}", self.name, self.pattern)
    }

    /// Returns the known locks by name.
    pub fn locks(&self) -> impl Iterator<Item = (String, &LockInfo)> {
        self.known.locks.iter().filter_map(|(name, info)| Some((text(name), info.as_ref()?)))
    }

    async fn check_module(&mut self) -> Result<(), Problem> {
        let name = self.exact.as_deref().unwrap_or(self.pattern.as_bytes());
        let asked = redis::cmd("LOCK.INFO").arg(name).query_async::<Value>(&mut self.connection).await;
        match asked {
            Err(error) if meaning(&error) == Some(Meaning::NoModule) => Err(Problem::Refused(format!(
                "{}: the module is not loaded there: {error}. Start the server with --loadmodule \
                 libredis_lock.so",
                self.name
            ))),
            // A pattern is not the name of a key that this user may read, so this error means nothing.
            Err(error) if is_key_denied(&error) && self.exact.is_none() => Ok(()),
            Err(error) if error.is_unrecoverable_error() || is_refusal(&error) => Err(self.failed(&error)),
            // The key of this name has another type.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Subscribes to keyspace events, if the server sends those that are needed.
    async fn listen(&mut self, database: i64) -> Result<(), Problem> {
        let name = "notify-keyspace-events";
        let asked: Result<BTreeMap<String, String>, _> =
            redis::cmd("CONFIG").arg("GET").arg(name).query_async(&mut self.connection).await;
        // A user who may not ask does not learn it.
        let flags = asked.ok().and_then(|mut reply| reply.remove(name)).unwrap_or_default();
        let pattern = if !flags.contains(['d', 'A']) {
            return Ok(());
        } else if flags.contains('K') {
            self.events = Some(Events::Keyspace);
            format!("__keyspace@{database}__:{}", self.pattern)
        } else if flags.contains('E') {
            self.events = Some(Events::Keyevent);
            format!("__keyevent@{database}__:lock.*")
        } else {
            return Ok(());
        };
        if self.connection.psubscribe(pattern).await.is_err() {
            self.events = None;
        }
        Ok(())
    }

    /// Returns if there are events that have not been followed by a look, or as soon as there are.
    pub async fn has_told(&mut self) -> Result<(), Problem> {
        match self.told.is_empty() {
            true => self.told().await,
            false => Ok(()),
        }
    }

    /// Returns when an event has arrived.
    pub async fn told(&mut self) -> Result<(), Problem> {
        loop {
            let push = self.pushes.recv().await;
            let push = push.ok_or_else(|| Problem::Server(format!("{}: the connection broke", self.name)))?;
            let mut any = self.note(push)?;
            while let Ok(push) = self.pushes.try_recv() {
                any |= self.note(push)?;
            }
            if any {
                return Ok(());
            }
        }
    }

    fn note(&mut self, push: PushInfo) -> Result<bool, Problem> {
        if push.kind == PushKind::Disconnection {
            return Err(Problem::Server(format!("{}: the connection broke", self.name)));
        }
        let (Some(events), PushKind::PMessage) = (self.events, push.kind) else {
            return Ok(false);
        };
        let [_, Value::BulkString(channel), Value::BulkString(message)] = push.data.as_slice() else {
            return Ok(false);
        };
        let Some(colon) = channel.iter().position(|byte| *byte == b':') else {
            return Ok(false);
        };
        let (key, event) = match events {
            Events::Keyspace => (channel[colon + 1..].to_vec(), message.as_slice()),
            Events::Keyevent => (message.clone(), &channel[colon + 1..]),
        };
        // For a line's lock, the resource's waiters may have changed, but not its holders.
        let (key, is_line) = match key.strip_suffix(order::SUFFIX.as_bytes()) {
            Some(resource) => (resource.to_vec(), true),
            None => (key, false),
        };
        if events == Events::Keyevent && !self.known.locks.contains_key(&key) {
            // The next search shows whether its name matches.
            self.cursor = 0;
            if self.pattern != "*" {
                return Ok(false);
            }
        }
        if !event.starts_with(b"lock.") && !self.known.locks.contains_key(&key) {
            // Other events are about keys that are not known as locks.
            return Ok(false);
        }
        let told = self.told.entry(key).or_default();
        match event {
            _ if is_line => {}
            b"lock.acquire" => told.acquired += 1,
            b"lock.release" => told.released += 1,
            b"lock.expired" => told.expired += 1,
            _ => {}
        }
        Ok(true)
    }

    /// Searches some more keys for locks. Queues the known locks once the queue is empty.
    pub async fn search(&mut self) -> Result<(), Problem> {
        for _ in 0..SCANS_PER_SEARCH {
            let mut scan = redis::cmd("SCAN");
            scan.arg(self.cursor).arg("MATCH").arg(&self.pattern);
            scan.arg("COUNT").arg(KEYS_PER_SCAN).arg("TYPE").arg("redislock");
            let found: Result<(u64, Vec<Vec<u8>>), _> = scan.query_async(&mut self.connection).await;
            let (cursor, keys) = found.map_err(|error| self.failed(&error))?;
            for mut key in keys {
                let resource = key.strip_suffix(order::SUFFIX.as_bytes()).map_or(key.len(), <[u8]>::len);
                key.truncate(resource);
                self.known.locks.entry(key).or_default();
            }
            self.cursor = cursor;
            if cursor == 0 {
                self.searched = true;
                break;
            }
        }
        if self.due.is_empty() {
            self.due.extend(self.known.locks.keys().cloned());
        }
        Ok(())
    }

    /// Reads some of the queued locks, and returns the changes.
    pub async fn look(&mut self, told: bool) -> Result<Vec<Change>, Problem> {
        let mut keys: Vec<Vec<u8>> = self.told.keys().take(MAX_LOOKS).cloned().collect();
        if !told {
            let more = MAX_LOOKS - keys.len();
            keys.extend(
                self.due.drain(..more.min(self.due.len())).filter(|key| !self.told.contains_key(key)),
            );
        }
        if keys.is_empty() {
            self.known.begun |= self.searched;
            return Ok(Vec::new());
        }
        let told: Vec<Told> = keys.iter().map(|key| self.told.remove(key).unwrap_or_default()).collect();
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        for key in &keys {
            pipeline.cmd("LOCK.INFO").arg(key);
            pipeline.cmd("LOCK.INFO").arg([key, order::SUFFIX.as_bytes()].concat());
        }
        let replies: Result<Vec<Value>, _> = pipeline.query_async(&mut self.connection).await;
        let replies = replies.map_err(|error| self.failed(&error))?;
        // Events that the server sent before the replies have arrived before them.
        while let Ok(push) = self.pushes.try_recv() {
            self.note(push)?;
        }
        let mut found = Vec::new();
        for ((key, told), replies) in keys.into_iter().zip(told).zip(replies.chunks(2)) {
            let [reply, line] = replies else { continue };
            // The error says nothing about the lock, which must not be taken for ended.
            if let Value::ServerError(error) = reply
                && let error = RedisError::from(error.clone())
                && matches!(meaning(&error), Some(Meaning::NotAllowed | Meaning::NotReady))
            {
                // A search also finds keys that this user may never read.
                let was_read = self.known.locks.get(&key).is_some_and(Option::is_some);
                if was_read || !is_key_denied(&error) {
                    return Err(self.failed(&error));
                }
            }
            let now = LockInfo::read(reply, line);
            let mut late = self.told.remove(&key).unwrap_or_default();
            let before = self.known.locks.get(&key).and_then(Option::as_ref);
            found.extend(changes(&text(&key), before, now.as_ref(), (told, &mut late), !self.known.begun));
            if late != Told::default() {
                self.told.insert(key.clone(), late);
            }
            if now.is_some() || Some(&key) == self.exact.as_ref() {
                self.known.locks.insert(key, now);
            } else {
                self.known.locks.remove(&key);
            }
        }
        self.known.begun |= self.searched && self.due.is_empty();
        Ok(found)
    }

    /// Returns whether there are too many keys or locks to read all of them at each tick.
    pub fn is_behind(&self) -> bool {
        !self.searched || !self.due.is_empty()
    }

    fn failed(&self, error: &RedisError) -> Problem {
        failed(&self.name, error)
    }
}

fn failed(name: &str, error: &RedisError) -> Problem {
    if error.code() == Some("NOPERM") {
        Problem::Refused(format!(
            "{name}: this user may not watch: {error}. Allow it (ACL SETUSER name +scan +lock.info, and ~pattern \
             for the keys), or give another user in the URL of --node"
        ))
    } else if is_refusal(error) {
        Problem::Refused(format!(
            "{name}: the server does not let this user in: {error}. Give user and password in the URL of --node"
        ))
    } else {
        Problem::Server(format!("{name}: {error}"))
    }
}

fn meaning(error: &RedisError) -> Option<Meaning> {
    ServerError::of(error).map(|error| error.meaning())
}

/// Returns whether the server knows the user and refuses: a retry does not help.
fn is_refusal(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed || meaning(error) == Some(Meaning::NotAllowed)
}

/// Returns whether the command is allowed, but not for this key.
fn is_key_denied(error: &RedisError) -> bool {
    ServerError::of(error).is_some_and(|error| error.is_of_key())
}

/// Returns the only name that a pattern matches, if it can match no others. A backslash escapes a byte.
fn exact_name(pattern: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    let mut bytes = pattern.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' | b'?' | b'[' => return None,
            b'\\' => name.push(*bytes.next().unwrap_or(byte)),
            _ => name.push(*byte),
        }
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_may_be_a_name() {
        for (pattern, name) in [
            ("key", Some("key")),
            ("key*", None),
            ("key?", None),
            ("[k]ey", None),
            (r"key\*", Some("key*")),
            (r"\\key\", Some(r"\key\")),
            (r"\\*", None),
        ] {
            assert_eq!(exact_name(pattern.as_bytes()).as_deref(), name.map(str::as_bytes), "{pattern}");
        }
    }
}
