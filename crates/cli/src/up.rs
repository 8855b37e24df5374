//! `pinseal up`: the whole system on one machine, kept running.
//!
//! The supervisor starts enclave, host, local EVM node and mail catcher as separate processes, writes what they say into log files, unread,
//! and does nothing else: it speaks no protocol and parses nothing that comes from a network. The sealing passphrase goes from here to the
//! enclave on a pipe; the host never sees it. Enclave and host share one socket pair and are restarted together, because one connection is
//! one boot.

mod banner;
mod children;
mod draft;
mod logs;
mod node;
mod pair;
mod ports;
mod programs;
mod restarts;
mod users;

pub(crate) use programs::own_name;
pub(crate) use users::User;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use pinseal_client::SecretText;
use pinseal_server::SmtpUrl;
use tokio::time::Instant;

use crate::args::{ConfigChangeArgs, InitArgs, PairArgs, PassphraseArgs, SealedArgs, UpArgs};
use crate::backup::BackedUp;
use crate::change::{Described, Question};
use crate::commands::config::{COPY_TOGETHER, Wanted, warn_of_no_spare};
use crate::context::quoted;
use crate::data_dir::{ClientDefaults, DataDir};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, Style, WIDTH, wrapped};
use crate::run_settings::{RunSettings, SMTP};
use crate::{deployment, secret, signals};
use children::{Child, Recipe};
use draft::Draft;
use node::Node;
use pair::{Ended, Pair, Starter};
use ports::Port;
use restarts::Restarts;
use users::Users;

/// Restarts that fail one after the other before the supervisor gives up.
const ATTEMPTS_MAX: u32 = 5;

/// Runs until told to stop.
///
/// # Errors
/// The system cannot be started, or a part of it ended in a way that a restart does not mend.
pub(crate) async fn run(arguments: UpArgs, output: Output) -> Outcome {
    refuse_an_exposed_password(&arguments)?;
    let users = Users::choose(arguments.pair.enclave_user.as_deref(), arguments.pair.host_user.as_deref())?;
    let enclaved = programs::enclaved()?;
    let anvil = if arguments.no_dev_node { None } else { Some(programs::anvil()?) };
    refuse_a_new_one_for_others(&arguments)?;
    let data = DataDir::make(&arguments.data)?;
    let _lock = data.lock()?;
    let api = Port::bind("wallet API", "--port", arguments.bind, arguments.port)?;
    let logs = logs::directory(data.root())?;
    let passphrase = passphrase(&data, &arguments.pair.passphrase, output)?;
    let starter =
        Ground { data: &data, logs: &logs, enclaved: &enclaved, users: &users }.starter(passphrase, &arguments.pair);

    let mut side = Side::default();
    let serving = serve(&arguments, output, &starter, anvil.as_deref(), api, &mut side).await;
    side.stop().await;
    serving?;
    output.line("stopped");
    Ok(())
}

/// `pinseal init`: makes the deployment and stops.
///
/// # Errors
/// There is one already, or it cannot be made.
pub(crate) async fn init(arguments: InitArgs, output: Output) -> Outcome {
    let users = Users::choose(arguments.pair.enclave_user.as_deref(), arguments.pair.host_user.as_deref())?;
    let enclaved = programs::enclaved()?;
    let data = DataDir::make(&arguments.data)?;
    let _lock = data.lock()?;
    if deployment::exists(&data) {
        return Err(Failure::failed(
            "exists",
            format!("{} holds a deployment already; nothing was changed", data.root().display()),
        ));
    }
    // Nothing is made for what cannot be sealed.
    let quorum = deployment::foresee(&arguments.sealed)?;
    quorum.iter().for_each(|quorum| warn_of_no_spare(quorum, output));
    let logs = logs::directory(data.root())?;
    let was_stored = data.passphrase()?.is_some();
    let passphrase = passphrase(&data, &arguments.pair.passphrase, output)?;
    let starter =
        Ground { data: &data, logs: &logs, enclaved: &enclaved, users: &users }.starter(passphrase, &arguments.pair);
    let created = match starter.create(false, &arguments.sealed).await {
        // Without a root it opens nothing: left behind, it would look like the passphrase of something.
        Err(failure) if !was_stored && !deployment::exists(&data) => {
            data.forget_passphrase()?;
            return Err(failure);
        }
        created => created?,
    };
    data.take_offer_back()?;
    output.line(format!("deployment {} is ready in {}", created.deployment, data.root().display()));
    if let Some(log_key) = &created.log_key {
        output.field("log key", log_key);
        if !arguments.sealed.witnesses.witness.is_empty() {
            output.line(format!("give it to each witness first: `{} witness trust '{log_key}'`", own_name()));
        }
    }
    output.line(next(&arguments.data, &arguments.pair));
    output.result(&serde_json::json!({
        "deployment": created.deployment, "data": data.root(), "log_verifier_key": created.log_key,
    }));
    Ok(())
}

/// How to start what was just made or changed, in the same way.
pub(crate) fn next(data: &Path, arguments: &PairArgs) -> String {
    let PairArgs {
        passphrase: PassphraseArgs { passphrase_fd, ask_passphrase },
        enclave_user,
        host_user,
        allow_missing,
    } = arguments;
    let named = |name: &str, value: Option<&String>| {
        value.map_or_else(String::new, |value| format!(" --{name} {}", quoted(value)))
    };
    let passphrase = match (passphrase_fd, ask_passphrase) {
        (Some(number), _) => format!(" --passphrase-fd {number}"),
        (None, true) => " --ask-passphrase".to_owned(),
        (None, false) => String::new(),
    };
    format!(
        "next: {} up --data {}{passphrase}{}{}{}",
        own_name(),
        quoted(&data.display().to_string()),
        named("enclave-user", enclave_user.as_ref()),
        named("host-user", host_user.as_ref()),
        named("allow-missing", allow_missing.as_ref()),
    )
}

/// What lies in the host's directory, as the host process says.
///
/// # Errors
/// There is no deployment, or the host's reason.
pub(crate) async fn describe(data: &Path, host_user: Option<&str>, question: Question) -> Outcome<Described> {
    let users = Users::choose(None, host_user)?;
    let data = DataDir::at(data);
    deployment::made(&data)?;
    let logs = logs::directory(data.root())?;
    pair::describe(&data, &logs, &users, question).await
}

/// Has the host copy what it needs into a directory that is made for it, whatever else runs on the data directory: whole, or not at all. What it holds.
///
/// # Errors
/// There is no deployment, something lies there, or the host's reason; then nothing lies there.
pub(crate) async fn back_up(data: &Path, to: &Path, host_user: Option<&str>) -> Outcome<BackedUp> {
    let users = Users::choose(None, host_user)?;
    let data = DataDir::at(data);
    deployment::made(&data)?;
    let to = std::path::absolute(to).map_err(|error| Failure::file("resolve", to, &error))?;
    let logs = logs::directory(data.root())?;
    let draft = Draft::make(&to, &data)?;
    let host = draft.host();
    users.own(&host)?;
    let stop = signals::stop();
    let made = tokio::select! {
        made = pair::back_up(&data, &logs, &users, &host) => made?,
        () = stop => return Err(Failure::failed("interrupted", "told to stop; nothing was kept")),
    };
    draft.keep()?;
    Ok(made)
}

/// Has the host describe what is there, the operators order something (`order`), and enclave and host carry it out; nothing else runs on the data
/// directory meanwhile. A change that was interrupted is finished instead.
///
/// # Errors
/// Something runs there, `order` refuses, or the change does.
pub(crate) async fn change(
    arguments: &ConfigChangeArgs,
    output: Output,
    question: Question,
    order: impl FnOnce(&Described) -> Outcome<Wanted>,
) -> Outcome<Changed> {
    let users = Users::choose(arguments.pair.enclave_user.as_deref(), arguments.pair.host_user.as_deref())?;
    let enclaved = programs::enclaved()?;
    let data = DataDir::at(&arguments.data);
    deployment::made(&data)?;
    let _lock = data.lock()?;
    let logs = logs::directory(data.root())?;
    let mut described = pair::describe(&data, &logs, &users, question.clone()).await?;
    let ground = Ground { data: &data, logs: &logs, enclaved: &enclaved, users: &users };
    let mut starter = None;
    if described.is_unfinished {
        output.note("a change that was interrupted is in the log; finishing that one");
    } else if let Some(place) = question.tpm.clone()
        && described.tpm.is_some_and(|asked| asked.holds.is_none())
    {
        // What nothing goes on from yet harms nobody, should the operators decline.
        let passphrase = passphrase(&data, &arguments.pair.passphrase, output)?;
        let starter = starter.insert(ground.starter(passphrase, &arguments.pair));
        output.progress("writing the TPM's index for the first time", starter.prime(place)).await?;
        described = pair::describe(&data, &logs, &users, question).await?;
    }
    let wanted = if described.is_unfinished { None } else { Some(order(&described)?) };
    let starter = match starter {
        Some(starter) => starter,
        None => ground.starter(passphrase(&data, &arguments.pair.passphrase, output)?, &arguments.pair),
    };
    let ordered = wanted.map(|wanted| wanted.sign(&described, arguments, &starter.passphrase)).transpose()?;
    if let Some(ordered) = ordered.as_ref().filter(|ordered| ordered.gives_up) {
        // What its anchor takes, or has taken, is finished: given up is what cannot be, and under the passphrase alone. Without its order nothing is.
        let is_ordered = described.given_up.is_some_and(|change| change.is_ordered);
        let reason = if is_ordered {
            match output.progress("trying to finish the change once more", starter.change(None)).await {
                Ok(()) => {
                    let now = pair::describe(&data, &logs, &users, Question::default()).await?;
                    return Ok(Changed { now, is_of_before: true });
                }
                Err(failure) if UNFINISHABLE.contains(&failure.code.as_str()) => failure.sentence,
                Err(failure) => return Err(failure),
            }
        } else {
            "no order for it is there".to_owned()
        };
        // Nor is anything given up for an order that the enclave would refuse: the anchor may have been missed before it saw the passphrase.
        output.progress("having the restore judged", starter.rehearse(ordered.clone())).await?;
        output.note(format!("the change cannot be finished ({reason}), and is given up"));
    }
    output.progress("changing the deployment", starter.change(ordered)).await?;
    let now = pair::describe(&data, &logs, &users, Question::default()).await?;
    Ok(Changed { now, is_of_before: described.is_unfinished })
}

/// Why a change that is in the log may never be finished: its anchor, or what the enclave says of that.
const UNFINISHABLE: &[&str] = &[
    "witnesses",
    "tpm",
    "anchor",
    "anchor_missing",
    "fenced",
    "state_older",
    "state_forked",
    "restored_since",
    "order_refused",
];

/// What came of an order.
pub(crate) struct Changed {
    /// What is there now.
    pub(crate) now: Described,
    /// It is an order of before that was finished, and not this one.
    pub(crate) is_of_before: bool,
}

/// Where a pair is started.
#[derive(Clone, Copy)]
struct Ground<'a> {
    data: &'a DataDir,
    logs: &'a Path,
    enclaved: &'a Path,
    users: &'a Users,
}

impl<'a> Ground<'a> {
    fn starter(self, passphrase: SecretText, arguments: &'a PairArgs) -> Starter<'a> {
        let Self { data, logs, enclaved, users } = self;
        let allow_missing = arguments.allow_missing.as_deref();
        Starter { data, logs, enclaved, users, passphrase, allow_missing }
    }
}

/// The processes beside enclave and host.
#[derive(Debug, Default)]
struct Side {
    node: Option<Child>,
    catcher: Option<Child>,
    pair: Option<Pair>,
}

impl Side {
    /// Stops everything, those first that use the others.
    async fn stop(&mut self) {
        if let Some(mut pair) = self.pair.take() {
            pair.stop().await;
        }
        if let Some(mut catcher) = self.catcher.take() {
            catcher.stop().await;
        }
        if let Some(mut node) = self.node.take() {
            node.stop().await;
        }
    }

    /// Resolves when the node or the catcher has ended.
    async fn ended_beside(node: &mut Option<Child>, catcher: &mut Option<Child>) -> Failure {
        tokio::select! {
            failure = end_of(node) => failure,
            failure = end_of(catcher) => failure,
        }
    }
}

/// The end of a child; never, where there is none.
async fn end_of(child: &mut Option<Child>) -> Failure {
    match child {
        Some(child) => {
            let status = child.ended().await;
            child.failure(status)
        }
        None => std::future::pending().await,
    }
}

async fn serve(
    arguments: &UpArgs,
    output: Output,
    starter: &Starter<'_>,
    anvil: Option<&Path>,
    api: Port,
    side: &mut Side,
) -> Outcome {
    let mut stop = std::pin::pin!(signals::stop());
    let (mut restarts, mut attempts) = (Restarts::new(arguments.restarts), 0);
    let ready = tokio::select! {
        ready = start(arguments, output, starter, anvil, &api, side, &mut restarts) => ready?,
        () = &mut stop => return Ok(()),
    };
    banner::print(output, starter.data, &ready);

    // Why the last start failed, while there is no pair to ask.
    let mut failed: Option<Ended> = None;
    loop {
        let began = Instant::now();
        let failure = tokio::select! {
            failure = Pair::end_of(&mut side.pair) => failure,
            failure = Side::ended_beside(&mut side.node, &mut side.catcher) => return Err(failure),
            () = &mut stop => {
                output.note("stopping ...");
                return Ok(());
            }
        };
        let ended = match (failure, side.pair.take()) {
            (Some(failure), Some(pair)) => Some(pair.end_with(failure).await),
            _ => None,
        };
        let last = ended.as_ref().or(failed.as_ref());
        let pause = restarts.next(last, began.elapsed(), Instant::now())?;
        if let Some(ended) = &ended {
            output.note(output.paint(Style::Yellow, &ended.failure.sentence));
        }
        if last.is_some_and(Ended::waits_for_witnesses) {
            note_wait(output, pause);
        } else {
            output.note("starting enclave and host again");
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = &mut stop => return Ok(()),
        }
        let started = tokio::select! {
            started = starter.start(&api, &ready.settings) => started,
            () = &mut stop => return Ok(()),
        };
        match started {
            Ok(pair) => {
                (side.pair, attempts, failed) = (Some(pair), 0, None);
                output.note("serving again");
            }
            Err(ended) if ended.waits_for_witnesses() || attempts < ATTEMPTS_MAX => {
                attempts += u32::from(!ended.waits_for_witnesses());
                output.note(output.paint(Style::Yellow, ended.failure.text()));
                failed = Some(ended);
            }
            Err(ended) => return Err(ended.failure),
        }
    }
}

fn note_wait(output: Output, pause: Duration) {
    output.note(format!(
        "waiting for a quorum of the witnesses: enclave and host are started again in {} s, and until there is one",
        pause.as_secs_f32().ceil()
    ));
}

/// What a running system offers.
struct Ready {
    defaults: ClientDefaults,
    settings: RunSettings,
    pids: serde_json::Value,
    /// The deployment was made by this start.
    is_new: bool,
}

/// Starts everything in order; each part is ready before the next one needs it.
async fn start(
    arguments: &UpArgs,
    output: Output,
    starter: &Starter<'_>,
    anvil: Option<&Path>,
    api: &Port,
    side: &mut Side,
    restarts: &mut Restarts,
) -> Outcome<Ready> {
    let data = starter.data;
    let wallet = wallet(arguments, api);
    let mut settings = RunSettings { smtp: mail_server(arguments), wallet, ..RunSettings::default() };
    let mut mailbox = None;
    if settings.smtp.is_none() {
        let (smtp, http) = (
            Port::bind("mail catcher", "--smtp", ports::LOOPBACK, 0)?,
            Port::bind("mailbox page", "--mailbox-port", ports::LOOPBACK, arguments.mailbox_port)?,
        );
        side.catcher = Some(start_catcher(starter.logs, &smtp, &http)?);
        settings.smtp = Some(format!("smtp://{}", smtp.address()).into());
        mailbox = Some(http.url());
    }
    if let Some(program) = anvil {
        let node = output
            .progress(
                "starting the local EVM node",
                Node::start(program, starter.logs, &data.node_state(), arguments.node_port),
            )
            .await?;
        settings.node = Some(node.url.clone());
        side.node = Some(node.child);
    }
    let known = data.client_defaults()?.filter(|offered| !offered.app_id.is_empty());
    let is_new = !deployment::exists(data);
    let (app_id, app_key) = match known {
        Some(offered) if !is_new => (offered.app_id, offered.app_key),
        _ => {
            let created =
                output.progress("making the deployment", starter.create(true, &SealedArgs::default())).await?;
            let none = || (String::new(), SecretText::new(String::new()));
            created.app.map_or_else(none, |app| (app.app_id, app.app_key))
        }
    };
    let defaults = ClientDefaults {
        server: api.url(),
        app_id,
        app_key,
        development: true,
        mailbox,
        network: settings.node.as_ref().map(|_| node::NETWORK.to_owned()),
        node: settings.node.clone(),
    };
    // Before anything can go wrong again: whoever starts it later finds the app that was made.
    data.offer(&defaults)?;
    let pair = first_pair(output, starter, api, &settings, side, restarts).await?;
    let pids = serde_json::json!({
        "supervisor": std::process::id(),
        "enclave": pair.pids().0,
        "host": pair.pids().1,
        "node": side.node.as_ref().and_then(Child::pid),
        "mail_catcher": side.catcher.as_ref().and_then(Child::pid),
    });
    if pair.has_finished_a_change {
        output.note(CHANGE_FINISHED);
        output.note(COPY_TOGETHER);
    }
    side.pair = Some(pair);
    Ok(Ready { defaults, settings, pids, is_new })
}

/// What follows from a change that a start finished: whoever ordered it may never have heard that it happened.
const CHANGE_FINISHED: &str = "a change of the configuration, or a restore, that was interrupted is finished. After a restore tell your users: each of them \
    runs `pinseal accept-restore` and then has one try";

/// The first start. Witnesses are waited for; what goes wrong once that began is tried again, as in [`serve`].
async fn first_pair(
    output: Output,
    starter: &Starter<'_>,
    api: &Port,
    settings: &RunSettings,
    side: &mut Side,
    restarts: &mut Restarts,
) -> Outcome<Pair> {
    let (mut has_waited, mut attempts) = (false, 0);
    loop {
        let started = output.progress("starting enclave and host", starter.start(api, settings)).await;
        let Err(ended) = started else { return started.map_err(|ended| ended.failure) };
        let waits = ended.waits_for_witnesses();
        // A program is told at once, and may ask again.
        if output.is_json() || !(waits || has_waited && attempts < ATTEMPTS_MAX) {
            return Err(ended.failure);
        }
        has_waited = true;
        attempts += u32::from(!waits);
        let pause = restarts.next(Some(&ended), Duration::ZERO, Instant::now())?;
        output.note(output.paint(Style::Yellow, ended.failure.text()));
        if waits {
            note_wait(output, pause);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            failure = Side::ended_beside(&mut side.node, &mut side.catcher) => return Err(failure),
        }
    }
}

/// Where the wallet page is: as asked for, else a name that leads to this machine wherever it is looked up, and only for a server that only
/// this machine reaches.
fn wallet(arguments: &UpArgs, api: &Port) -> Option<String> {
    if !crate::serve::page::is_built() {
        return None;
    }
    let port = api.address().port();
    let local = || api.address().ip().is_loopback().then(|| format!("http://wallet.localhost:{port}"));
    let named = arguments.wallet_url.as_ref();
    named.map(|url| url.strip_suffix(":0").map_or_else(|| url.clone(), |host| format!("{host}:{port}"))).or_else(local)
}

fn start_catcher(logs: &Path, smtp: &Port, http: &Port) -> Outcome<Child> {
    let own = programs::own()?;
    let (smtp, http) = (smtp.handover()?, http.handover()?);
    let arguments =
        ["mail-catcher".to_owned(), "--smtp-fd".to_owned(), smtp.number(), "--http-fd".to_owned(), http.number()];
    let kept = [smtp.raw(), http.raw()];
    Recipe { name: "mail catcher", program: &own, user: None, stdin: Stdio::null(), kept: &kept, talks: false, logs }
        .start(arguments)
}

/// Where mail goes, if it is not to be caught here.
fn mail_server(arguments: &UpArgs) -> Option<SmtpUrl> {
    let told = || std::env::var(SMTP).ok().filter(|url| !url.is_empty()).map(SmtpUrl::from);
    arguments.smtp.as_ref().map(|url| url.duplicate()).or_else(told)
}

fn refuse_an_exposed_password(arguments: &UpArgs) -> Outcome {
    if !arguments.smtp.as_ref().is_some_and(|url| url.has_password()) {
        return Ok(());
    }
    let sentence = "the mail server's password is among the arguments, which every user of this machine can read";
    Err(Failure::usage(sentence).advise(format!(
        "put the URL into the environment variable {SMTP} instead; and change the password, if others use this machine"
    )))
}

/// A deployment with a mail server or a passphrase of its own has users, and so may one that has run here before. Where it is not found its disk may
/// be missing: another one made in its place would take wallets in that nobody finds again once the disk is back.
fn refuse_a_new_one_for_others(arguments: &UpArgs) -> Outcome {
    let data = DataDir::at(&arguments.data);
    let PassphraseArgs { passphrase_fd, ask_passphrase } = &arguments.pair.passphrase;
    let is_for_others = mail_server(arguments).is_some() || passphrase_fd.is_some() || *ask_passphrase;
    if is_for_others || data.was_used() { deployment::made(&data).map(drop) } else { Ok(()) }
}

/// Shortest passphrase of a new deployment. One that exists opens with whatever it was made with.
const PASSPHRASE_CHARS_MIN: usize = 12;

/// The sealing passphrase: as asked for, else the stored one, else a new random one for development.
fn passphrase(data: &DataDir, arguments: &PassphraseArgs, output: Output) -> Outcome<SecretText> {
    let flag = "--passphrase-fd";
    if !deployment::exists(data) && (arguments.ask_passphrase || arguments.passphrase_fd.is_some()) {
        let new = secret::ask_new("New sealing passphrase: ", "passphrase", flag, arguments.passphrase_fd)?;
        if new.expose_secret().chars().count() < PASSPHRASE_CHARS_MIN {
            return Err(Failure::usage(format!(
                "a sealing passphrase has {PASSPHRASE_CHARS_MIN} or more characters; nothing was made"
            ))
            .advise("take several random words: whoever holds the data directory can guess as fast as they like"));
        }
        return Ok(new);
    }
    if arguments.ask_passphrase || arguments.passphrase_fd.is_some() {
        return secret::ask("Sealing passphrase: ", "passphrase", flag, arguments.passphrase_fd);
    }
    if let Some(stored) = data.passphrase()? {
        return Ok(stored);
    }
    if deployment::exists(data) {
        return Err(Failure::usage("this deployment's passphrase is not stored here")
            .advise("give it with --passphrase-fd N or --ask-passphrase"));
    }
    let made = data.make_passphrase()?;
    let warning = format!(
        "warning: a random sealing passphrase was stored in {}/passphrase. That is for development: whoever reads that file \
         and the database can open the deployment. In production give it with --passphrase-fd or --ask-passphrase.",
        data.root().display()
    );
    wrapped(&warning, WIDTH).iter().for_each(|line| output.note(output.paint(Style::Yellow, line)));
    Ok(made)
}
