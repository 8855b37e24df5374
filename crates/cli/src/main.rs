//! The `pinseal` program: runs a deployment (`up`, `serve`), looks after it (`init`, `app`, `dev`), and is a wallet client.

mod args;
mod backup;
mod change;
#[cfg(test)]
mod codes;
mod commands;
mod context;
mod data_dir;
mod demo;
mod deployment;
mod failure;
mod fd;
mod guard;
mod mail;
mod operators;
mod output;
mod profile;
mod run_settings;
mod secret;
#[cfg(test)]
mod secrets;
mod serve;
mod signals;
mod trouble;
mod trust;
mod undumped;
mod up;

use std::alloc::System;
use std::future::Future;
use std::process::ExitCode;

use clap::Parser as _;

use args::{AppCommand, Arguments, Command, ConfigCommand, Dev, Devices, Pin, Sessions, WalletCommand, WitnessCommand};
use failure::{Failure, Outcome};
use output::{Output, Style};
use zeroizing_alloc::ZeroAlloc;

/// Passwords, codes and tokens pass through buffers of many libraries, which free them as they are; so every freed block is zeroed,
/// in the host as in the client. The enclave has an allocator of its own.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    if let Err(failure) = undumped::begin() {
        return tell(&failure, Output::new(wants_json()));
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and version are no errors; a person reads clap's own text.
        Err(error) if error.use_stderr() && wants_json() => return tell(&usage(&error), Output::new(true)),
        Err(error) => error.exit(),
    };
    let output = Output::new(arguments.json);
    match run(arguments.command, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => tell(&failure, output),
    }
}

/// Prints a failure; its exit code.
fn tell(failure: &Failure, output: Output) -> ExitCode {
    if output.is_json() {
        eprintln!("{}", failure.json());
    } else {
        let text = failure.text();
        eprintln!(
            "{}",
            text.strip_prefix("error:")
                .map_or(text.clone(), |rest| format!("{}{rest}", output.paint(Style::Red, "error:")))
        );
    }
    ExitCode::from(failure.exit as u8)
}

/// `--json` on a command line that clap could not read.
fn wants_json() -> bool {
    std::env::args_os().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// Clap's words as one sentence; what follows its first paragraph repeats the help text.
fn usage(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let sentence: Vec<&str> = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    let sentence = sentence.join(" ");
    Failure::usage(sentence.strip_prefix("error: ").unwrap_or(&sentence)).advise("see --help")
}

fn run(command: Command, output: Output) -> Outcome {
    match command {
        Command::Guard(arguments) => guard::run(&arguments),
        // Children are started on the main thread alone, because the kernel ties their lives to it.
        Command::Up(arguments) => alone(up::run(arguments, output)),
        Command::Init(arguments) => alone(up::init(arguments, output)),
        Command::Config(ConfigCommand::Show(arguments)) => alone(commands::config::show(arguments, output)),
        Command::Config(ConfigCommand::Change(arguments)) => alone(commands::config::change(*arguments, output)),
        Command::Backup(arguments) => alone(commands::backup::backup(arguments, output)),
        Command::Restore(arguments) => alone(commands::restore::restore(*arguments, output)),
        Command::Resume(arguments) => alone(commands::resume::resume(arguments, output)),
        Command::AcceptRestore(arguments) => together(commands::restore::accept(arguments, output)),
        Command::MailCatcher(arguments) => alone(mail::run(arguments.smtp_fd, arguments.http_fd)),
        Command::Demo(arguments) => together(demo::run(arguments, output)),
        Command::Serve(arguments) => serving(serve::run(arguments)),
        Command::Witness(WitnessCommand::Init(arguments)) => commands::witness::init(&arguments, output),
        Command::Witness(WitnessCommand::Trust(arguments)) => commands::witness::trust(&arguments, output),
        Command::Witness(WitnessCommand::End(arguments)) => commands::witness::end(&arguments, output),
        Command::Witness(WitnessCommand::Serve(arguments)) => together(commands::witness::serve(arguments, output)),
        Command::Witness(WitnessCommand::Status(place)) => commands::witness::status(&place, output),
        Command::App(AppCommand::Create(arguments)) => commands::app::create(&arguments, output),
        Command::App(AppCommand::List(arguments)) => commands::app::list(&arguments, output),
        Command::App(AppCommand::Add(arguments)) => commands::app::add(&arguments, output),
        Command::App(AppCommand::Theme(arguments)) => commands::app::theme(&arguments, output),
        Command::App(AppCommand::Remove(arguments)) => commands::app::remove(&arguments, output),
        Command::Dev(Dev::Fund(arguments)) => together(commands::dev::fund(*arguments, output)),
        Command::Dev(Dev::Mail(arguments)) => together(commands::dev::mail(arguments, output)),
        Command::Login(arguments) => together(commands::login::log_in(arguments, output)),
        Command::Logout(client) => together(commands::login::log_out(client, output)),
        Command::Wallet(WalletCommand::Create(arguments)) => together(commands::wallet::create(arguments, output)),
        Command::Accounts(arguments) => together(commands::wallet::accounts(arguments, output)),
        Command::Networks(client) => together(commands::networks::list(client, output)),
        Command::Balance(arguments) => together(commands::balance::show(arguments, output)),
        Command::Send(arguments) => together(commands::send::send(arguments, output)),
        Command::SignMessage(arguments) => together(commands::sign::message(arguments, output)),
        Command::SignTypedData(arguments) => together(commands::sign::typed_data(arguments, output)),
        Command::Pin(Pin::Verify { pin, client }) => together(commands::pin::verify(pin, client, output)),
        Command::Pin(Pin::Change { pin, new_pin_fd, client }) => {
            together(commands::pin::change(pin, new_pin_fd, client, output))
        }
        Command::Devices(Devices::List(client)) => together(commands::devices::list(client, output)),
        Command::Devices(Devices::Enrol { label, address, pin, client }) => {
            together(commands::devices::enrol(label, address, pin, client, output))
        }
        Command::Devices(Devices::Revoke { device, pin, client }) => {
            together(commands::devices::revoke(device, pin, client, output))
        }
        Command::Devices(Devices::Clear { pin, client }) => together(commands::devices::clear(pin, client, output)),
        Command::Sessions(Sessions::List(client)) => together(commands::sessions::list(client, output)),
        Command::Sessions(Sessions::Revoke { session, client }) => {
            together(commands::sessions::revoke(session, client, output))
        }
        Command::Evidence(arguments) => together(commands::evidence::evidence(arguments, output)),
        Command::Status(client) => together(commands::status::show(client, output)),
        Command::Transactions(arguments) => together(commands::transactions::list(arguments, output)),
        Command::History(arguments) => together(commands::history::list(arguments, output)),
    }
}

/// Runs on the main thread only.
fn alone(work: impl Future<Output = Outcome>) -> Outcome {
    block_on(tokio::runtime::Builder::new_current_thread(), work)
}

/// Runs with threads, so that progress shows while a PIN is being stretched.
fn together(work: impl Future<Output = Outcome>) -> Outcome {
    block_on(tokio::runtime::Builder::new_multi_thread(), work)
}

/// Serves with a thread for every second core. The enclave, the pipeline and the database have threads of their own, and each that takes requests
/// beyond what these can answer is one more to be woken (docs/performance.md).
fn serving(work: impl Future<Output = Outcome>) -> Outcome {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads((cores / 2).max(1));
    block_on(builder, work)
}

fn block_on(mut builder: tokio::runtime::Builder, work: impl Future<Output = Outcome>) -> Outcome {
    let runtime =
        builder.enable_all().build().map_err(|error| Failure::failed("runtime", format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(work);
    // A terminal prompt or a resolver may still block a helper thread; the process ends all the same.
    runtime.shutdown_background();
    outcome
}
