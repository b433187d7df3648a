//! The world outside, as the proxy reaches it.

use async_trait::async_trait;
use crucible_core::Connection;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpStream;

/// Finds and reaches hosts. A test has one of its own.
#[async_trait]
pub trait Outside: Send + Sync {
    /// The addresses that a name stands for now.
    ///
    /// # Errors
    /// Where nobody knows.
    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>>;

    /// Makes a connection, and says from which address.
    ///
    /// # Errors
    /// Where nobody answers there.
    async fn connect(&self, address: SocketAddr) -> io::Result<(Box<dyn Connection>, IpAddr)>;
}

/// What this machine's own resolver and routes lead to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Internet;

#[async_trait]
impl Outside for Internet {
    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        // With a dot at its end a name is whole: the host's own domains aren't tried behind it.
        let found = tokio::net::lookup_host((format!("{name}."), 0)).await;
        let found = match found {
            Ok(found) => found,
            // A name of the host's own table is only known without.
            Err(_) => return Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()),
        };
        Ok(found.map(|address| address.ip()).collect())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<(Box<dyn Connection>, IpAddr)> {
        let stream = TcpStream::connect(address).await?;
        let here = stream.local_addr()?.ip().to_canonical();
        Ok((Box::new(stream), here))
    }
}
