//! The life of the process, from its command line to its exit code.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process::ExitCode;

use pinseal_enclave::{Enclave, Identity, Passphrase};
use pinseal_protocol::wire::{FromEnclave, ToEnclave};

use crate::arguments::{self, Command, HELP, Serve, SocketArgument};
use crate::environment::ProcessEnvironment;
use crate::exit::{Failure, UNTRIED};
use crate::faults::Faults;
use crate::hardening::{self, Descriptors, HardeningReport, Measure, State, WipingAllocator, image, sys};
use crate::journal::{self, Field, Level};
use crate::passphrase::{self, PassphraseError};
use crate::socket::{HostSocket, SocketError};
use crate::transport::{self, End, Machine};

/// Runs the process. `allocator` is the one the program was built with.
pub fn run(arguments: impl IntoIterator<Item = OsString>, allocator: &WipingAllocator) -> ExitCode {
    journal::abort_on_panic();
    let outcome = match arguments::parse(arguments) {
        Ok(Command::Help) => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        Ok(Command::Version) => {
            println!("pinseal-enclaved {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
        Ok(Command::Serve(serve)) => serve_one_host(&serve, allocator),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            let fields = [("reason", Field::Text(failure.reason())), ("message", Field::Text(&failure.story()))];
            journal::write(Level::Error, "stopped", &fields);
            ExitCode::from(&failure)
        }
    }
}

/// Hardens, takes the passphrase, and serves one host to the end.
fn serve_one_host(serve: &Serve, allocator: &WipingAllocator) -> Result<ExitCode, Failure> {
    let mut faults = Faults::from_environment();
    sys::aws_lc::use_our_allocator().map_err(Failure::Memory)?;
    let measurement = image::measure().map_err(Failure::Measurement)?;
    let passphrase = adopt(serve.passphrase).map_err(|error| PassphraseError::Unreadable(code(&error)))?;
    let socket = match &serve.socket {
        SocketArgument::Descriptor(number) => HostSocket::adopt(adopt(*number).map_err(SocketError::NotOpen)?)?,
        SocketArgument::Path(path) => HostSocket::bind(path)?,
    };
    // Asked for now: the filter that comes next leaves no way to.
    let host = serve.host.unwrap_or_else(|| rustix::process::geteuid().as_raw());
    let mut keep = socket.descriptors();
    keep.push(passphrase.as_raw_fd());
    let descriptors = Descriptors { keep, listener: socket.listener() };
    let (report, environment) = hardening::harden(&descriptors, allocator, &faults, ProcessEnvironment::start);
    refuse_missing(&report, &serve.allow_missing)?;

    // Only now is anything read.
    let passphrase = passphrase::read(passphrase)?;
    if socket.listener().is_some() {
        journal::write(Level::Info, "waiting_for_host", &[]);
    }
    let connection = socket.accept(host)?;
    let release = env!("CARGO_PKG_VERSION").to_owned();
    let identity = Identity { measurement, release, hardening: report.to_wire() };
    // On the heap, where small blocks are locked.
    let enclave = Box::new(Enclave::new(Passphrase::new(passphrase), identity));
    let mut machine = Running { enclave, environment };
    journal::write(Level::Info, "host_connected", &[]);
    match transport::serve(connection.stream.as_fd(), &mut machine, &mut faults)? {
        End::HostGone { handled } => {
            journal::write(Level::Info, "host_gone", &[("messages", Field::Number(handled))]);
            Ok(if machine.enclave.rests_on_host() { ExitCode::SUCCESS } else { ExitCode::from(UNTRIED) })
        }
        End::Finished => {
            journal::write(Level::Info, "finished", &[]);
            Ok(ExitCode::SUCCESS)
        }
        End::Halted(halt) => Err(Failure::Halted(halt)),
    }
}

/// A descriptor of the parent. Standard input is copied, since its number stays in use.
fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    match number {
        0 => Ok(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?),
        _ => sys::adopt_descriptor(number),
    }
}

fn code(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

/// Logs every missing measure and refuses the first that the operator did not allow.
fn refuse_missing(report: &HardeningReport, allowed: &[Measure]) -> Result<(), Failure> {
    for finding in report.findings().iter().filter(|finding| finding.state == State::Missing) {
        let allowed = u64::from(allowed.contains(&finding.measure));
        let fields = [
            ("measure", Field::Text(finding.measure.name())),
            ("detail", Field::Text(&finding.detail)),
            ("allowed", Field::Number(allowed)),
        ];
        journal::write(Level::Warn, "measure_missing", &fields);
    }
    match report.refused(allowed).into_iter().next() {
        None => Ok(()),
        Some(finding) => Err(Failure::Hardening(finding)),
    }
}

/// The state machine and what it gets from this process.
struct Running {
    enclave: Box<Enclave>,
    environment: ProcessEnvironment,
}

impl Machine for Running {
    fn hello(&self) -> FromEnclave {
        self.enclave.hello()
    }

    fn step(&mut self, message: ToEnclave) -> Vec<FromEnclave> {
        self.enclave.step(message, &mut self.environment)
    }

    fn is_halted(&self) -> bool {
        self.enclave.is_halted()
    }
}
