//! Listeners of the suite's own. One that heard anything was reached.

use super::{Sight, files};
use std::io;
use std::net::IpAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket, UnixListener};
use tokio::task::JoinHandle;

/// How long something that is on its way is waited for.
const LAST_CALL: Duration = Duration::from_millis(20);

/// How often it was reached.
#[derive(Clone, Default)]
struct Heard(Arc<AtomicUsize>);

impl Heard {
    fn once(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) struct Listener {
    heard: Heard,
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    pub(super) async fn tcp(address: IpAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self::counting(port, |heard| async move {
            while listener.accept().await.is_ok() {
                heard.once();
            }
        }))
    }

    pub(super) async fn udp(address: IpAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((address, 0)).await?;
        let port = socket.local_addr()?.port();
        Ok(Self::counting(port, |heard| async move {
            let mut buffer = [0; 1500];
            while socket.recv_from(&mut buffer).await.is_ok() {
                heard.once();
            }
        }))
    }

    pub(super) fn abstract_name(name: &str) -> io::Result<Self> {
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        Self::unix(std::os::unix::net::UnixListener::bind_addr(&address)?)
    }

    pub(super) fn path(base: &Path, nonce: &str) -> io::Result<(Self, PathBuf)> {
        let socket = files::folder(base, nonce, 0o755)?.join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&socket)?;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666))?;
        Ok((Self::unix(listener)?, socket))
    }

    fn unix(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        Ok(Self::counting(0, |heard| async move {
            while listener.accept().await.is_ok() {
                heard.once();
            }
        }))
    }

    fn counting<F: Future<Output = ()> + Send + 'static>(port: u16, listen: impl FnOnce(Heard) -> F) -> Self {
        let heard = Heard::default();
        let task = tokio::spawn(listen(heard.clone()));
        Self { heard, port, task }
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    pub(super) async fn look(&self) -> Sight {
        tokio::time::sleep(LAST_CALL).await;
        match self.heard.0.load(Ordering::Relaxed) {
            0 => Sight::Nothing("the listener heard nothing".to_owned()),
            count => Sight::Reached(format!("the listener was reached {count} times")),
        }
    }
}
