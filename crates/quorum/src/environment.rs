//! The clocks, randomness and connections of a client. A program uses the operating system's. A simulator
//! provides its own, so that one seed gives one history.

use crate::clock;
use rand::TryRngCore;
use rand::rand_core::OsError;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult};
use std::future::Future;
use std::pin::Pin;
use tokio::task::AbortHandle;

/// A connection in the making, and the task that drives it if the connection does not end that task itself.
pub type Connecting<'a> =
    Pin<Box<dyn Future<Output = RedisResult<(MultiplexedConnection, Option<AbortHandle>)>> + Send + 'a>>;

/// What [`Quorum::connect_in`](crate::Quorum::connect_in) uses of the outside world.
pub trait Environment: Send + Sync + 'static {
    /// Returns nanoseconds on the clock that the validity is counted on. It never goes back.
    fn boot_time(&self) -> u64;

    /// Returns microseconds since 1970.
    fn wall_clock(&self) -> u64;

    /// Fills `bytes` with bytes that nobody can guess.
    ///
    /// # Errors
    /// Returns the operating system's error if it has none.
    fn random_bytes(&self, bytes: &mut [u8]) -> Result<(), OsError>;

    /// Returns a random number from 0 to 1, for pauses.
    fn random_fraction(&self) -> f64;

    /// Connects to the server of this client.
    fn connect<'a>(&'a self, client: &'a Client, config: &'a AsyncConnectionConfig) -> Connecting<'a>;
}

/// The environment of the operating system.
pub(crate) struct System;

impl Environment for System {
    fn boot_time(&self) -> u64 {
        clock::boot_time()
    }

    fn wall_clock(&self) -> u64 {
        clock::wall_clock()
    }

    fn random_bytes(&self, bytes: &mut [u8]) -> Result<(), OsError> {
        rand::rngs::OsRng.try_fill_bytes(bytes)
    }

    fn random_fraction(&self) -> f64 {
        rand::random_range(0.0..=1.0)
    }

    fn connect<'a>(&'a self, client: &'a Client, config: &'a AsyncConnectionConfig) -> Connecting<'a> {
        Box::pin(async move {
            let connection = client.get_multiplexed_async_connection_with_config(config).await?;
            Ok((connection, None))
        })
    }
}
