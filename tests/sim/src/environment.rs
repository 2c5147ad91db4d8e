//! The environment of the client under test: a machine's clocks, seeded randomness, a simulated network.

use crate::mutants::Mutant;
use crate::network::Network;
use crate::time::Clock;
use rand::rand_core::OsError;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, RedisError};
use redis_lock_quorum::environment::{Connecting, Environment};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// A host's port is this plus its number.
const FIRST_PORT: u16 = 7_000;

/// Returns the addresses of this number of servers.
pub fn urls(servers: usize) -> Vec<String> {
    (0..servers).map(|server| format!("redis://node:{}", usize::from(FIRST_PORT) + server)).collect()
}

/// The environment of one client process.
pub struct Machine {
    pub clock: Arc<Clock>,
    network: Network,
    client: usize,
    random: Mutex<SmallRng>,
    mutant: Option<Mutant>,
}

impl Machine {
    pub fn new(
        clock: &Arc<Clock>,
        network: &Network,
        client: usize,
        seed: u64,
        mutant: Option<Mutant>,
    ) -> Machine {
        Machine {
            clock: Arc::clone(clock),
            network: network.clone(),
            client,
            random: Mutex::new(SmallRng::seed_from_u64(seed)),
            mutant,
        }
    }

    fn random<R>(&self, draw: impl FnOnce(&mut SmallRng) -> R) -> R {
        draw(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Environment for Machine {
    fn boot_time(&self) -> u64 {
        self.clock.monotonic_nanos()
    }

    fn wall_clock(&self) -> u64 {
        self.clock.wall_micros()
    }

    fn random_bytes(&self, bytes: &mut [u8]) -> Result<(), OsError> {
        match self.mutant {
            Some(Mutant::OwnersRepeat) => bytes.fill(7),
            _ => self.random(|random| random.fill_bytes(bytes)),
        }
        Ok(())
    }

    fn random_fraction(&self) -> f64 {
        self.random(|random| random.random_range(0.0..=1.0))
    }

    fn connect<'a>(&'a self, client: &'a Client, config: &'a AsyncConnectionConfig) -> Connecting<'a> {
        Box::pin(async move {
            let info = client.get_connection_info();
            let ConnectionAddr::Tcp(_, port) = info.addr() else {
                return Err(RedisError::from(io::Error::from(io::ErrorKind::Unsupported)));
            };
            let server = usize::from(port - FIRST_PORT);
            let stream = self.network.connect(self.client, server).await?;
            let settings = info.redis_settings();
            let (connection, driver) =
                MultiplexedConnection::new_with_config(settings, stream, config.clone()).await?;
            Ok((connection, Some(tokio::spawn(driver).abort_handle())))
        })
    }
}
