//! A served deployment, its process's memory, attackers' sockets, and the honest user.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use pinseal_client::{Attested, OperationError};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Resource, Rlimit};
use tokio::task::JoinSet;

use crate::crash::deployment::{Deployment, Life};
use crate::crash::user::{PIN, User, runtime, sign};

/// Longest silence before a test gives up; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);
/// Operations of each of a flood's tasks.
const ROUNDS: usize = 4;
/// Longest answer kept of a raw conversation.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// True for the sizes of `make attack`.
pub(super) fn is_full() -> bool {
    std::env::var_os("ATTACK").is_some_and(|value| value == "full")
}

/// A host under attack.
pub(super) struct Rig {
    pub(super) life: Life,
    pub(super) address: SocketAddr,
    honest: User,
    runtime: tokio::runtime::Runtime,
    _deployment: Deployment,
}

impl Rig {
    /// Serves with the given settings of `[limits]` and registers the honest user.
    pub(super) fn serving(limits: &[(&str, u64)]) -> Self {
        Self::serving_with(limits, &[])
    }

    /// As [`Rig::serving`], with another program started in front of the host.
    pub(super) fn serving_with(limits: &[(&str, u64)], wrapper: &[&str]) -> Self {
        raise_descriptors();
        let mut deployment = Deployment::prepared(|host| {
            let path = host.join("server.toml");
            let text = std::fs::read_to_string(&path).unwrap();
            let set = |line: &str| match line.split_once(" = ") {
                Some((name, _)) => limits
                    .iter()
                    .find(|(limit, _)| *limit == name)
                    .map_or(line.to_owned(), |(_, value)| format!("{name} = {value}")),
                None => line.to_owned(),
            };
            let text: Vec<String> = text.lines().map(set).collect();
            for (name, value) in limits {
                assert!(text.contains(&format!("{name} = {value}")), "{name} is no limit");
            }
            std::fs::write(&path, text.join("\n")).unwrap();
        });
        deployment.wrapper = wrapper.iter().map(ToString::to_string).collect();
        let life = deployment.start();
        let address = life.door.url.strip_prefix("http://").unwrap().parse().unwrap();
        let runtime = runtime();
        let (honest, _) = runtime.block_on(User::registered(&life.door, "honest@example.org"));
        Self { life, address, honest, runtime, _deployment: deployment }
    }

    /// The honest user logs in on a device of theirs and signs, on connections opened now.
    pub(super) fn honest_user_is_served(&self) {
        self.runtime.block_on(self.serve_honest_user());
    }

    async fn serve_honest_user(&self) {
        let served = async {
            self.honest.another_device(&self.life.door).await;
            let attested: Attested = self.honest.attested(&self.life.door).await;
            sign(&attested, PIN, b"under attack").await.unwrap();
        };
        tokio::time::timeout(PATIENCE, served).await.expect("the honest user is served");
    }

    /// One user begins and sends as many operations at once as given, again and again, while the honest one is served. The codes
    /// of what came back; empty for what was carried out.
    pub(super) fn flood_of_operations(&self, email: &str, at_once: usize) -> Vec<String> {
        self.runtime.block_on(async {
            let (flooder, _) = User::registered(&self.life.door, email).await;
            let mut flood = JoinSet::new();
            for _ in 0..at_once {
                let (door, flooder) = (self.life.door.clone(), flooder.clone());
                flood.spawn(async move {
                    let attested = flooder.attested(&door).await;
                    let mut codes = Vec::new();
                    for _ in 0..ROUNDS {
                        codes.push(attested.status().await.map_or_else(|error| code(&error), |_| String::new()));
                    }
                    codes
                });
            }
            self.serve_honest_user().await;
            flood.join_all().await.into_iter().flatten().collect()
        })
    }

    /// The honest user's access token, for those who stole it.
    pub(super) fn access_token(&self) -> String {
        let profile = self.runtime.block_on(self.honest.client(&self.life.door).profile()).unwrap();
        profile.session.unwrap().access_token.expose_secret().to_owned()
    }

    /// Memory of the host now, in KiB.
    pub(super) fn resident_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most memory the host ever had, in KiB.
    pub(super) fn peak_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.life.host.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    /// App headers for raw requests.
    pub(super) fn app_headers(&self) -> String {
        let app = &self.life.door.app;
        format!(
            "host: {}\r\nx-pinseal-app-id: {}\r\nx-pinseal-app-key: {}\r\n",
            self.address,
            app.id,
            app.key.expose_secret()
        )
    }

    /// One number of `/metrics`.
    pub(super) fn metric(&self, name: &str) -> u64 {
        let answer = self.exchange(
            format!("GET /metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address).as_bytes(),
        );
        let line = answer.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0, |value| value.parse().unwrap())
    }

    /// A connection from the `number`th client address.
    pub(super) fn connect(&self, number: u32) -> TcpStream {
        let from = Ipv4Addr::from(0x7f01_0001 + number);
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from((from, 0))).unwrap();
        rustix::net::connect(&socket, &self.address).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// What comes back for these bytes until the host closes; empty if it closes without a word.
    pub(super) fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect(0);
        // It may be hung up on before everything is written.
        let _ = stream.write_all(bytes);
        rest(&mut stream)
    }
}

/// The code of what was refused.
fn code(error: &OperationError) -> String {
    match error {
        OperationError::Api(error) => error.code().unwrap_or("none").to_owned(),
        OperationError::Refused { refusal } => refusal.code().to_owned(),
        other => format!("{other:?}"),
    }
}

/// Everything up to the end of the connection.
pub(super) fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    match stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it is neither answered nor closed"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// One answer of a connection that goes on.
pub(super) fn read_answer(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let mut answer = String::from_utf8(head).unwrap();
    let length = answer.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    answer.push_str(&String::from_utf8_lossy(&body));
    answer
}

/// Whether the host has answered or hung up, as far as has come to be known.
pub(super) fn is_over(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    !peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// The status of an answer, 0 where there is none.
pub(super) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// As many descriptors as this process may have: each attacker is one.
fn raise_descriptors() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}
