//! A TCP relay in front of the API that keeps every byte that passes, and can hold a request back.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};

/// One request and its answer, heads and bodies as they were sent.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    /// Method and path with query.
    pub(super) line: String,
    pub(super) answer: Vec<u8>,
}

/// Both directions of one connection.
#[derive(Debug, Default, Clone)]
struct Conversation {
    requests: Vec<u8>,
    answers: Vec<u8>,
}

/// The relay. Its threads end with their connections.
#[derive(Clone)]
pub(super) struct Recorder {
    pub(super) url: String,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    upstream: OnceLock<SocketAddr>,
    conversations: Mutex<Vec<Conversation>>,
    gate: Mutex<Option<Gate>>,
}

/// Holds back the first request for a path: says that it came, and waits for the word to let it pass.
struct Gate {
    path: String,
    came: Sender<()>,
    pass: Receiver<()>,
}

/// The other side of a [`Gate`].
pub(super) struct Held {
    pub(super) came: Receiver<()>,
    pub(super) pass: Sender<()>,
}

impl Recorder {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner::default());
        let accepting = Arc::clone(&inner);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                accept(&accepting, stream.unwrap());
            }
        });
        Self { url, inner }
    }

    /// Where the API is, once that is known.
    pub(super) fn forward_to(&self, url: &str) {
        self.inner.upstream.set(url.strip_prefix("http://").unwrap().parse().unwrap()).unwrap();
    }

    /// Holds back the next request whose line has `path` in it.
    pub(super) fn hold(&self, path: &str) -> Held {
        let ((came, arrived), (pass, passing)) = (channel(), channel());
        *self.inner.gate.lock().unwrap() = Some(Gate { path: path.to_owned(), came, pass: passing });
        Held { came: arrived, pass }
    }

    /// Everything so far.
    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        self.inner.conversations.lock().unwrap().iter().flat_map(Conversation::exchanges).collect()
    }
}

fn accept(inner: &Arc<Inner>, client: TcpStream) {
    let server = TcpStream::connect(inner.upstream.get().unwrap()).unwrap();
    let place = {
        let mut conversations = inner.conversations.lock().unwrap();
        conversations.push(Conversation::default());
        conversations.len() - 1
    };
    let (client_again, server_again) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (there, back) = (Arc::clone(inner), Arc::clone(inner));
    std::thread::spawn(move || {
        carry(client, server, |bytes| {
            there.conversations.lock().unwrap()[place].requests.extend_from_slice(bytes);
            wait_at_gate(&there, bytes);
        });
    });
    std::thread::spawn(move || {
        carry(server_again, client_again, |bytes| {
            back.conversations.lock().unwrap()[place].answers.extend_from_slice(bytes);
        });
    });
}

fn wait_at_gate(inner: &Inner, bytes: &[u8]) {
    let head = String::from_utf8_lossy(bytes);
    let gate = {
        let mut gate = inner.gate.lock().unwrap();
        let is_here =
            gate.as_ref().is_some_and(|gate| head.lines().next().is_some_and(|line| line.contains(&gate.path)));
        if is_here { gate.take() } else { None }
    };
    if let Some(gate) = gate {
        gate.came.send(()).unwrap();
        // Whoever holds the request may have ended: it passes then.
        let _ = gate.pass.recv();
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, mut note: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        note(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other side may have gone already.
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

impl Conversation {
    fn exchanges(&self) -> Vec<Exchange> {
        let requests = messages(&self.requests);
        let answers = messages(&self.answers);
        let line = |request: &[u8]| {
            let head = String::from_utf8_lossy(request).into_owned();
            head.lines().next().unwrap().rsplit_once(' ').unwrap().0.to_owned()
        };
        // An answer that never came is none.
        requests.iter().zip(answers).map(|(request, answer)| Exchange { line: line(request), answer }).collect()
    }
}

/// The messages of one direction: each a head and as much as it announces.
fn messages(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
        assert!(!text.contains("transfer-encoding"), "{text}");
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        let end = (head + 4 + length).min(bytes.len());
        messages.push(bytes[..end].to_vec());
        bytes = &bytes[end..];
    }
    messages
}
