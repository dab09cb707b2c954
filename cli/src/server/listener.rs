//! Takes the port, or says who has it.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;

use super::holder::holder;

/// So many ports after the wanted one are tried.
const NEXT_PORTS: u16 = 50;

/// Listens there.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(anyhow!(
            "{address} is taken by {}; listen elsewhere with --listen {} or KULTI_LISTEN",
            taken_by(address),
            SocketAddr::new(address.ip(), address.port().saturating_add(1)),
        )),
        Err(error) => Err(error).with_context(|| format!("cannot listen on {address}")),
    }
}

/// Listens there, or on the next free port; then also says why.
pub(crate) async fn bind_next_free(address: SocketAddr) -> anyhow::Result<(TcpListener, Option<String>)> {
    let first = match TcpListener::bind(address).await {
        Ok(listener) => return Ok((listener, None)),
        Err(error) if error.kind() == ErrorKind::AddrInUse => error,
        Err(error) => return Err(error).with_context(|| format!("cannot listen on {address}")),
    };
    let ports = (1..=NEXT_PORTS).filter_map(|step| address.port().checked_add(step));
    for port in ports {
        if let Ok(listener) = TcpListener::bind(SocketAddr::new(address.ip(), port)).await {
            let why = format!(
                "port {} is taken by {}; taking {port}",
                address.port(),
                taken_by(address)
            );
            return Ok((listener, Some(why)));
        }
    }
    Err(first).with_context(|| format!("{address} and the {NEXT_PORTS} ports after it are taken"))
}

fn taken_by(address: SocketAddr) -> String {
    holder(address.port()).unwrap_or_else(|| "another process".to_owned())
}

/// Where this machine reaches a listener that is bound there.
pub(crate) fn reachable_url(bound: SocketAddr) -> String {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, bound.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_its_holder_and_the_flag() {
        let taken = bind("127.0.0.1:0".parse().expect("an address"))
            .await
            .expect("a port");
        let address = taken.local_addr().expect("an address");
        let error = bind(address).await.expect_err("taken").to_string();
        assert!(
            error.contains("--listen") && error.contains(&address.to_string()),
            "{error}"
        );
        #[cfg(target_os = "linux")]
        assert!(
            error.contains(&format!("(process {})", std::process::id())),
            "{error}"
        );
    }

    #[tokio::test]
    async fn the_next_free_port_is_taken_and_said() {
        let taken = bind("127.0.0.1:0".parse().expect("an address"))
            .await
            .expect("a port");
        let address = taken.local_addr().expect("an address");
        let (next, why) = bind_next_free(address).await.expect("a free port");
        let port = next.local_addr().expect("an address").port();
        assert!(port > address.port());
        assert!(why.expect("a reason").ends_with(&format!("taking {port}")));
    }

    #[test]
    fn a_listener_on_all_interfaces_is_reached_by_loopback() {
        let url = |text: &str| reachable_url(text.parse().expect("an address"));
        assert_eq!(url("0.0.0.0:8080"), "http://127.0.0.1:8080");
        assert_eq!(url("[::]:8080"), "http://[::1]:8080");
        assert_eq!(url("10.0.0.7:80"), "http://10.0.0.7:80");
    }
}
