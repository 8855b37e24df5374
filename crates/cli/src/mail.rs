//! The mail catcher of development: an SMTP sink on loopback with a mailbox page. It delivers nothing anywhere.

mod mailbox;
mod message;
mod page;
mod smtp;

use std::net::TcpListener;
use std::os::fd::RawFd;
use std::sync::Arc;

pub(crate) use mailbox::Mail;

use crate::failure::{Failure, Outcome};
use crate::fd;
use mailbox::Mailbox;

/// Serves both ports until the process is told to stop.
///
/// # Errors
/// A descriptor is no listening socket.
pub(crate) async fn run(smtp: RawFd, http: RawFd) -> Outcome {
    let mailbox = Arc::new(Mailbox::default());
    let (smtp, http) = (listener(smtp)?, listener(http)?);
    tokio::select! {
        () = smtp::serve(smtp, Arc::clone(&mailbox)) => Ok(()),
        served = page::serve(http, mailbox) => served,
        () = crate::signals::stop() => Ok(()),
    }
}

fn listener(number: RawFd) -> Outcome<tokio::net::TcpListener> {
    let listener = TcpListener::from(fd::inherited(number)?);
    listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener)).map_err(|error| {
        Failure::failed("descriptor", format!("file descriptor {number} is no listening socket: {error}"))
    })
}
