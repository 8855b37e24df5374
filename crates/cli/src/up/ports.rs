//! Listening sockets made here and handed to children, so that a busy port is noticed before anything starts, port 0 needs no
//! guessing, and a restart of the host loses no connection.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd as _, RawFd};

use crate::failure::{Failure, Outcome};
use crate::fd;

/// 127.0.0.1.
pub(super) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A listening socket.
#[derive(Debug)]
pub(super) struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

/// A copy of the socket that the next child inherits; drop it after the spawn.
#[derive(Debug)]
pub(super) struct Handover(TcpListener);

impl Port {
    /// Binds; `what` and `flag` name it in messages.
    ///
    /// # Errors
    /// The port is taken or not allowed.
    pub(super) fn bind(what: &str, flag: &str, ip: IpAddr, port: u16) -> Outcome<Self> {
        let bound =
            TcpListener::bind((ip, port)).and_then(|listener| Ok(Self { address: listener.local_addr()?, listener }));
        bound.map_err(|error| {
            let sentence = match error.kind() {
                ErrorKind::AddrInUse => format!("port {port} for the {what} is in use by another program"),
                _ => format!("cannot listen on {ip}:{port} for the {what}: {error}"),
            };
            Failure::failed("port_busy", sentence)
                .advise(format!("choose another one with {flag} PORT, or {flag} 0 for any free one"))
        })
    }

    /// Address and port.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://address:port`.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A copy for a child.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn handover(&self) -> Outcome<Handover> {
        let copy = self
            .listener
            .try_clone()
            .map_err(|error| Failure::failed("descriptor", format!("cannot copy a socket: {error}")))?;
        fd::inheritable(&copy)?;
        Ok(Handover(copy))
    }
}

impl Handover {
    /// The descriptor's number in the child.
    pub(super) fn number(&self) -> String {
        self.raw().to_string()
    }

    /// The same for the guard.
    pub(super) fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
