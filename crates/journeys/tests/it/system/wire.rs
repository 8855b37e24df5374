//! The socket between host and enclave, seen and if need be changed frame by frame: what root of the host can do.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use pinseal_protocol::wire::{FromEnclave, ToEnclave, frame, frame_length, parse};

/// One frame as it passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) to_enclave: bool,
    /// Number of the message's kind on the wire.
    pub(crate) kind: u8,
    pub(crate) bytes: usize,
}

type Change<T> = Box<dyn FnMut(&mut T) + Send>;

/// What passes, and who changes it.
#[derive(Default)]
pub(crate) struct Wire {
    seen: Mutex<Vec<Frame>>,
    to_enclave: Mutex<Option<Change<ToEnclave>>>,
    from_enclave: Mutex<Option<Change<FromEnclave>>>,
}

impl Wire {
    /// The frames since the last call.
    pub(crate) fn take(&self) -> Vec<Frame> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// Changes every message to the enclave from now on.
    pub(crate) fn change_to_enclave(&self, change: impl FnMut(&mut ToEnclave) + Send + 'static) {
        *self.to_enclave.lock().unwrap() = Some(Box::new(change));
    }

    /// Changes every message from the enclave from now on.
    pub(crate) fn change_from_enclave(&self, change: impl FnMut(&mut FromEnclave) + Send + 'static) {
        *self.from_enclave.lock().unwrap() = Some(Box::new(change));
    }

    /// Lets everything pass again.
    pub(crate) fn honest(&self) {
        *self.to_enclave.lock().unwrap() = None;
        *self.from_enclave.lock().unwrap() = None;
    }

    fn pass(&self, body: Vec<u8>, to_enclave: bool) -> Vec<u8> {
        // An enumeration is the array of its number and its fields.
        let kind = body.get(1).copied().unwrap_or(u8::MAX);
        self.seen.lock().unwrap().push(Frame { to_enclave, kind, bytes: body.len() });
        if to_enclave && let Some(change) = self.to_enclave.lock().unwrap().as_mut() {
            let mut message: ToEnclave = parse(&body).unwrap();
            change(&mut message);
            return frame(&message).unwrap();
        }
        if !to_enclave && let Some(change) = self.from_enclave.lock().unwrap().as_mut() {
            let mut message: FromEnclave = parse(&body).unwrap();
            change(&mut message);
            return frame(&message).unwrap();
        }
        let mut framed = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        framed.extend(body);
        framed
    }
}

/// Carries frames both ways until either side goes.
pub(crate) fn relay(host: UnixStream, enclave: UnixStream, wire: Arc<Wire>) {
    let (host_again, enclave_again) = (host.try_clone().unwrap(), enclave.try_clone().unwrap());
    let other = Arc::clone(&wire);
    std::thread::spawn(move || carry(host, enclave, &wire, true));
    std::thread::spawn(move || carry(enclave_again, host_again, &other, false));
}

fn carry(mut from: UnixStream, mut to: UnixStream, wire: &Wire, to_enclave: bool) {
    while let Some(body) = read(&mut from) {
        if to.write_all(&wire.pass(body, to_enclave)).is_err() {
            break;
        }
    }
    // The other side may have gone already.
    drop(to.shutdown(Shutdown::Write));
    drop(from.shutdown(Shutdown::Read));
}

fn read(from: &mut UnixStream) -> Option<Vec<u8>> {
    let mut prefix = [0; 4];
    from.read_exact(&mut prefix).ok()?;
    let mut body = vec![0; frame_length(prefix).unwrap()];
    from.read_exact(&mut body).ok()?;
    Some(body)
}
