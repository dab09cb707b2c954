//! A TCP proxy that cuts, holds back and refuses connections.
//!
//! For Postgres, the gateway and anything else that is reached where it was asked for. Kafka's clients are told the
//! brokers' own addresses after the first answer and go past it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Listens on a free local port and passes everything on; ends with the test.
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    /// Connections are closed and refused.
    cut: bool,
    /// Nothing goes through, nothing is closed.
    stalled: bool,
    /// Before each piece is passed on.
    delay: Duration,
}

impl Proxy {
    /// In front of `target`, `host:port`.
    ///
    /// # Panics
    /// If no local port can be had.
    pub async fn to(target: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a local port");
        let address = listener.local_addr().expect("a bound port has an address");
        let (weather, changes) = watch::channel(Weather::default());
        let task = tokio::spawn(accept(listener, target.to_owned(), changes));
        Proxy {
            address,
            weather,
            task,
        }
    }
    /// Where to connect instead.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// Closes every connection and every new one at once.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cut = true);
    }
    /// Nothing goes through any more, but no connection is closed: a host that vanished.
    pub fn stall(&self) {
        self.weather.send_modify(|weather| weather.stalled = true);
    }
    /// All well again.
    pub fn resume(&self) {
        self.weather.send_modify(|weather| *weather = Weather::default());
    }
    /// Holds every piece back for so long.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: String, weather: watch::Receiver<Weather>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if weather.borrow().cut {
            continue;
        }
        connections.spawn(pass(client, target.clone(), weather.clone()));
    }
}

async fn pass(client: TcpStream, target: String, weather: watch::Receiver<Weather>) {
    let Ok(server) = TcpStream::connect(&target).await else {
        return;
    };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut until_cut = weather.clone();
    tokio::select! {
        () = copy(from_client, to_server, weather.clone()) => {}
        () = copy(from_server, to_client, weather) => {}
        _ = until_cut.wait_for(|weather| weather.cut) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut weather: watch::Receiver<Weather>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let Ok(delay) = weather
            .wait_for(|weather| !weather.stalled)
            .await
            .map(|weather| weather.delay)
        else {
            return;
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
