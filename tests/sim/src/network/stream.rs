//! The client's end of a connection, in the type that the client crate takes.

use super::Network;
use super::wires::{Direction, What};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The client's end of a connection.
pub struct Stream {
    pub(super) network: Network,
    pub(super) number: usize,
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut wires = self.network.wires();
        let connection = &mut wires.connections[self.number];
        if connection.received.is_empty() && !connection.ended {
            connection.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = buffer.remaining().min(connection.received.len());
        let (first, second) = connection.received.as_slices();
        let from_first = count.min(first.len());
        buffer.put_slice(&first[..from_first]);
        buffer.put_slice(&second[..count - from_first]);
        connection.received.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.network.wires().connections[self.number].client_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.network.send(self.number, Direction::ToServer, What::Bytes(bytes.to_vec()));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let gone = self.network.wires().connections[self.number].client_gone;
        if !gone {
            self.network.send(self.number, Direction::ToServer, What::Close);
            self.network.wires().end_client_side(self.number);
        }
    }
}
