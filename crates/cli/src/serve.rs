//! `pinseal serve`: the host process. It joins database, anchor, enclave and networks to the HTTP server and holds no secret of a
//! wallet.

mod backup;
mod clock;
mod descriptors;
mod fate;
mod networks;
pub(crate) mod page;
pub(crate) mod reasons;
mod wallets;

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use pinseal_anchor::{Anchor, FileAnchor, TpmAnchor, TpmPlace, WitnessAnchor, Witnesses};
use pinseal_host::{
    ChangeError, ChangeParts, CreateError, Earlier, Parts as TrunkParts, Pause, PrimeError, Stop, Trunk,
};
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::{Checkpoint, log_verifier_key};
use pinseal_protocol::configuration::{Configuration, Issuer as TrustedIssuer};
use pinseal_protocol::ids::{DeploymentId, Hash32};
use pinseal_protocol::note::VerifierKey;
use pinseal_protocol::order::Order;
use pinseal_protocol::tpm::Tpm;
use pinseal_server::{AppState, Config, Issuer, IssuerError, Parts};
use pinseal_store::Sqlite;
use pinseal_store::deployment::{Deployment, DeploymentFile};
use pinseal_store::records::{Newest, Records};
use pinseal_store::vault::Vault;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::oneshot;

use crate::args::ServeArgs;
use crate::change::{DescribedTpm, Description, GivenUp, OrderedChange, Question};
use crate::commands::app;
use crate::deployment::places::{self, Places};
use crate::deployment::{HostDir, chain, missing};
use crate::failure::{Failure, Outcome};
use crate::run_settings::{Created, HostWord, RunSettings};
use crate::{fd, signals};
use clock::{HostClock, ServerClock};
use fate::Fate;
use networks::ChainNetworks;
use reasons::{boot, boot_beside_change, changing, creation, halted, orderless, stop_failure};
use wallets::EnclaveWallets;

/// Connections that the kernel holds until they are taken, where its own bound (`net.core.somaxconn`) is not less. One more than fits is tried again by
/// its client a second later: so a burst of strangers keeps nobody waiting.
const BACKLOG: i32 = 4_096;
/// Restores that witnesses are asked about beyond the newest checkpoint's, and beyond the database's.
const RESTORES_SOUGHT: u32 = 64;
/// Numbers in a row that no witness knows, after which there are no more.
const RESTORES_GAP_MAX: u32 = 3;
/// Name of the app that `pinseal up` registers for its own commands.
const LOCAL_APP: &str = "Local development";

/// Serves until told to stop, or makes the deployment and returns.
///
/// # Errors
/// The enclave or a file refuses, or the enclave has stopped: start both again.
pub(crate) async fn run(arguments: ServeArgs) -> Outcome {
    let supervised = arguments.run_fd.is_some();
    let outcome = host(arguments).await;
    if supervised && let Err(failure) = &outcome {
        HostWord::failed(failure).say();
    }
    outcome
}

async fn host(arguments: ServeArgs) -> Outcome {
    log();
    let settings = arguments.run_fd.map(RunSettings::read).transpose()?.unwrap_or_default();
    let directory = HostDir::at(&arguments.directory);
    let mut config = directory.server()?;
    if let Some(to) = settings.backup {
        let made = blocking(move || backup::backup(&directory, &config, &to)).await?;
        HostWord::BackedUp(made).say();
        return Ok(());
    }
    let files = Deployment::open(directory.path()).map_err(|error| Failure::failed("file", chain(&error)))?;
    let only_looks = arguments.describe && settings.question.only_look;
    if !only_looks && crate::deployment::finish_change(&directory, &files)? {
        config = directory.server()?;
    }
    if arguments.describe {
        let description = blocking(move || describe(&directory, &config, &settings.question)).await?;
        HostWord::Described(Box::new(description)).say();
        return Ok(());
    }
    let enclave = enclave(&arguments)?;
    if arguments.create {
        return create(enclave, &directory, &config, &settings).await;
    }
    if arguments.change {
        let word = blocking(move || change(enclave, &directory, &config, &settings)).await?;
        word.say();
        return Ok(());
    }
    descriptors::fit(&mut config.limits)?;
    let listener = listener(&arguments)?;
    serve(enclave, listener, &directory, config, &settings, arguments.run_fd.is_some()).await
}

/// Runs what blocks, an anchor's own threads among it, where that disturbs nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Outcome<T> + Send + 'static) -> Outcome<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::failed("interrupted", format!("the work was interrupted: {error}")))?
}

/// Standard error, for whoever must never wait for its reader: a line that has no room is lost.
struct Unhurried;

impl std::io::Write for Unhurried {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let mut errors = std::io::stderr().lock();
        let mut room = [PollFd::new(&errors, PollFlags::OUT)];
        // A pipe has room where a page is free; lines are shorter, and nobody else writes meanwhile.
        let has_room = poll(&mut room, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0);
        if has_room {
            return errors.write(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Structured logs on standard error; `RUST_LOG` chooses what.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // Only a second call in one process fails, and there is none.
    let _ = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(|| Unhurried).try_init();
}

/// The connection to the enclave.
fn enclave(arguments: &ServeArgs) -> Outcome<UnixStream> {
    match (arguments.enclave_fd, &arguments.enclave_socket) {
        (Some(number), _) => Ok(UnixStream::from(fd::inherited(number)?)),
        (None, Some(path)) => UnixStream::connect(path).map_err(|error| {
            Failure::failed("enclave_unreachable", format!("no enclave answers on {}: {error}", path.display()))
                .advise("start pinseal-enclaved on that path first")
        }),
        (None, None) => Err(Failure::usage("give --enclave-fd or --enclave-socket")),
    }
}

fn listener(arguments: &ServeArgs) -> Outcome<tokio::net::TcpListener> {
    let listener = match arguments.listen_fd {
        Some(number) => TcpListener::from(fd::inherited(number)?),
        None => TcpListener::bind(arguments.listen).map_err(|error| {
            Failure::failed("port_busy", format!("cannot listen on {}: {error}", arguments.listen))
                .advise("choose another one with --listen")
        })?,
    };
    rustix::net::listen(&listener, BACKLOG)
        .map_err(std::io::Error::from)
        .and_then(|()| listener.set_nonblocking(true))
        .and_then(|()| tokio::net::TcpListener::from_std(listener))
        .map_err(|error| Failure::failed("descriptor", format!("the listening socket cannot be used: {error}")))
}

/// What lies on disk, of a deployment of which no change is half in force.
struct Disk {
    database: Sqlite,
    deployment: Deployment,
    anchor: Box<dyn Anchor>,
    configuration: Configuration,
    /// Verifier key of the log, once there is one.
    log_key: Option<VerifierKey>,
}

impl Disk {
    fn open(directory: &HostDir, config: &Config) -> Outcome<Self> {
        let deployment = Deployment::open(directory.path()).map_err(|error| Failure::failed("file", chain(&error)))?;
        let configuration = pinseal_host::configuration(&deployment)
            .map_err(|error| Failure::failed("configuration", chain(&error)))?
            .ok_or_else(|| missing(directory))?;
        let database = open_database(directory)?;
        let log_key = log_key(&deployment)?;
        if log_key.is_none() && directory.has_root() {
            return Err(missing(directory));
        }
        let restores = restores(&database)?;
        let anchor = anchor(directory, config, log_key.as_ref(), &configuration, &database, restores)?;
        Ok(Self { database, deployment, anchor, configuration, log_key })
    }
}

fn log_key(deployment: &Deployment) -> Outcome<Option<VerifierKey>> {
    pinseal_host::log_key(deployment).map_err(|error| Failure::failed("file", chain(&error)))
}

/// Restores so far, as the database has it.
fn restores(database: &Sqlite) -> Outcome<u32> {
    let newest = Records::new(database.clone()).newest();
    Ok(newest
        .map_err(|error| Failure::failed("database", chain(&error)))?
        .map_or(0, |newest| newest.checkpoint.restores))
}

/// The anchor of the sealed configuration's level.
fn anchor(
    directory: &HostDir,
    config: &Config,
    log_key: Option<&VerifierKey>,
    configuration: &Configuration,
    database: &Sqlite,
    restores: u32,
) -> Outcome<Box<dyn Anchor>> {
    if let Some(tpm) = configuration.tpm {
        return Ok(Box::new(tpm_anchor(config, tpm)?));
    }
    let Some(quorum) = configuration.witnesses.clone() else {
        return Ok(Box::new(FileAnchor::new(&directory.anchor())));
    };
    let url = |name: &str| {
        config.witnesses.get(name).cloned().ok_or_else(|| {
            Failure::failed("configuration", format!("server.toml does not say where witness {name} answers"))
                .advise("add its URL under [witnesses]; nothing was started")
        })
    };
    let urls = quorum.witnesses.iter().map(|witness| url(&witness.name)).collect::<Outcome<_>>()?;
    let records = Records::new(database.clone());
    let witnesses =
        Witnesses { quorum, urls, deployment: configuration.deployment, restores, log: log_key.map(|key| *key.key()) };
    let proofs = move |old, next: &Checkpoint| Some(records.consistency(old, next.size).ok()??.path);
    let anchor = WitnessAnchor::new(witnesses, Arc::new(proofs))
        .map_err(|error| Failure::failed("configuration", chain(&error)).advise("nothing was started"))?;
    Ok(Box::new(anchor))
}

/// That TPM's index, where the settings say that the TPM is.
fn tpm_anchor(config: &Config, tpm: Tpm) -> Outcome<TpmAnchor> {
    let settings = config.tpm.as_ref();
    let place = settings.and_then(|settings| settings.place_of(&tpm.attester)).ok_or_else(|| {
        Failure::failed("configuration", "server.toml does not say where the TPM is")
            .advise("add its place under [tpm]; nothing was started")
    })?;
    let interval = settings.map_or(0, |settings| settings.interval_milliseconds_min);
    Ok(TpmAnchor::new(place_of_tpm(place)?, tpm, Duration::from_millis(interval)))
}

fn place_of_tpm(place: &str) -> Outcome<TpmPlace> {
    place.parse().map_err(|error: pinseal_anchor::NoPlace| {
        Failure::failed("configuration", format!("{place}, for a TPM: {error}")).advise("nothing was started")
    })
}

/// Opens the host's database. It is made before there is a root, and never in the place of one that is lost.
///
/// # Errors
/// It cannot be opened, or is missing.
pub(crate) fn open_database(directory: &HostDir) -> Outcome<Sqlite> {
    let path = directory.database();
    if directory.has_root() && !path.exists() {
        return Err(missing(directory));
    }
    Sqlite::open(&path).map_err(|error| Failure::failed("database", format!("{}: {}", path.display(), chain(&error))))
}

/// Makes the deployment's root unless it is there, and the app for local development if asked to.
async fn create(enclave: UnixStream, directory: &HostDir, config: &Config, settings: &RunSettings) -> Outcome {
    let Disk { database, deployment, mut anchor, configuration, .. } = Disk::open(directory, config)?;
    let (records, files) = (Records::new(database.clone()), deployment.clone());
    let created = tokio::task::spawn_blocking(move || {
        pinseal_host::create(enclave, &deployment, &records, &mut *anchor, &configuration, &HostClock)
    });
    match created.await {
        Ok(Ok(()) | Err(CreateError::Exists)) => {}
        Ok(Err(error)) => return Err(creation(&error)),
        Err(error) => return Err(Failure::failed("creation", format!("the creation was interrupted: {error}"))),
    }
    let app = if settings.with_app { Some(app::register_local(&database, LOCAL_APP)?) } else { None };
    let log_key = log_key(&files)?.map(|key| key.to_string());
    HostWord::Created(Created { deployment: config.deployment.clone(), app, log_key }).say();
    Ok(())
}

/// What lies here, for operators who are about to order something.
fn describe(directory: &HostDir, config: &Config, question: &Question) -> Outcome<Description> {
    let Disk { database, deployment, anchor, configuration, log_key } = Disk::open(directory, config)?;
    let records = Records::new(database.clone());
    let missing = || changing(&ChangeError::NoDeployment, None);
    let log_key = log_key.ok_or_else(missing)?;
    if question.restore && !question.new_issuer_key {
        // A restore closes every wallet, and does not make up for a key that is lost.
        own_issuer(config, &configuration)?;
    }
    let unreadable = |error| Failure::failed("database", chain(&error));
    // In this order, so that a change that somebody else finishes meanwhile is not taken for one without an order.
    let next_root =
        deployment.read(DeploymentFile::NextRoot).map_err(|error| Failure::failed("file", chain(&error)))?;
    let entry = pinseal_host::newest_entry(&records).map_err(unreadable)?;
    let ordered = pinseal_host::ordered_beside(&deployment, entry.as_deref());
    let in_force = pinseal_host::is_in_force(&deployment, entry.as_deref()).map_err(|error| changing(&error, None))?;
    let ordered = match ordered {
        // Of a change that is given up, or finished, nobody needs the order any more; what is half done is without one.
        Err(ChangeError::Damaged(..)) if question.give_up || in_force.is_some() => None,
        ordered => ordered.map_err(|error| changing(&error, Some(&log_key)))?,
    };
    let logged = ordered.as_ref().filter(|ordered| ordered.is_logged());
    // One that is in force is finished, whatever lies beside it.
    let is_given_up = question.give_up && in_force != Some(true);
    let step = if is_given_up { pinseal_host::given_up(&records).map_err(unreadable)? } else { None };
    let given_up = step.as_ref().map(|(change, before)| {
        let is_restore = change.checkpoint.restores > before.checkpoint.restores;
        GivenUp { restores: is_restore.then_some(change.checkpoint.restores), is_ordered: logged.is_some() }
    });
    let newest = match step {
        Some((_, before)) => Some(before),
        None => records.newest().map_err(unreadable)?,
    };
    let newest = newest.ok_or_else(missing)?;
    let held = if question.restore {
        newest_held(directory, config, &log_key, &configuration, &newest, &database, &*anchor)
    } else {
        None
    };
    let is_orderless = in_force == Some(false) && next_root.is_none() && logged.is_none();
    if is_orderless && !question.give_up && !question.only_look {
        return Err(orderless());
    }
    let is_unfinished = next_root.is_some() || (logged.is_some() || is_orderless) && given_up.is_none();
    let tpm = match (&question.tpm, configuration.tpm) {
        (Some(place), _) => Some(asked(place, config, configuration.deployment)?),
        (None, Some(tpm)) if question.restore => {
            // One that does not answer is told of as one whose index is gone.
            let holds = anchor.load().ok().flatten().and_then(|held| Hash32::from_slice(&held));
            Some(DescribedTpm::new(&tpm, holds))
        }
        (None, _) => None,
    };
    let issuer_key = if question.new_issuer_key && !is_unfinished {
        Some(crate::deployment::next_issuer(config, configuration.deployment)?)
    } else {
        None
    };
    Ok(Description {
        configuration: hex::encode(cbor::to_vec(&configuration)),
        root: pinseal_host::root_in_force(&deployment).map_err(|error| changing(&error, None))?.to_string(),
        newest: String::from_utf8_lossy(&newest.note).into_owned(),
        held,
        log_key: log_key.to_string(),
        issuer_key: issuer_key.map(|key| hex::encode(cbor::to_vec(&key))),
        urls: config.witnesses.clone(),
        is_unfinished,
        is_orderless,
        given_up,
        is_ordered: ordered.is_some(),
        ordered_restore: ordered.and_then(|ordered| ordered.restores_to),
        paused: Pause::standing(&records)
            .map_err(|error| Failure::failed("database", chain(&error)))?
            .map(|pause| (pause.index, pause.time.0)),
        tpm,
    })
}

/// What the TPM there attests with, and what the deployment's index in it holds.
fn asked(place: &str, config: &Config, deployment: DeploymentId) -> Outcome<DescribedTpm> {
    let at = place_of_tpm(place)?;
    let tpm = crate::deployment::named(&at, deployment)?;
    let interval = config.tpm.as_ref().map_or(0, |settings| settings.interval_milliseconds_min);
    let held = TpmAnchor::new(at, tpm, Duration::from_millis(interval)).load();
    let held = held.map_err(|error| Failure::failed("tpm", format!("{place}: {}", chain(&error))))?;
    Ok(DescribedTpm::new(&tpm, held.and_then(|held| Hash32::from_slice(&held))))
}

/// Has the deployment's index in the TPM there written for the first time, unless it holds something.
fn prime(enclave: UnixStream, disk: &Disk, place: &str) -> Outcome {
    let Disk { deployment, configuration, .. } = disk;
    let at = place_of_tpm(place)?;
    let tpm = crate::deployment::named(&at, configuration.deployment)?;
    let mut anchor = TpmAnchor::new(at, tpm, Duration::ZERO);
    pinseal_host::prime(enclave, deployment, tpm, &mut anchor).map_err(|error| match error {
        PrimeError::Halted { halt, detail } => halted(halt, &detail),
        error => Failure::failed("tpm", format!("{place}: {}", chain(&error))).advise("nothing was changed"),
    })
}

/// The newest checkpoint that the anchor is known to hold, beside the newest one here. Witnesses know the log of each restore by a name of its own.
fn newest_held(
    directory: &HostDir,
    config: &Config,
    log_key: &VerifierKey,
    configuration: &Configuration,
    newest: &Newest,
    database: &Sqlite,
    present: &dyn Anchor,
) -> Option<String> {
    let mut held = None;
    if configuration.witnesses.is_some() {
        let (first, known) = (newest.checkpoint.restores, restores(database).ok()?);
        let near = first..first.saturating_add(RESTORES_SOUGHT);
        // An operator may have named a number far from the one before.
        let far = known.max(near.end)..known.saturating_add(RESTORES_SOUGHT);
        let mut gap = 0;
        for restores in near.chain(far) {
            let there = anchor(directory, config, Some(log_key), configuration, database, restores).ok()?;
            match there.load() {
                Ok(Some(note)) => (held, gap) = (Some(note), 0),
                _ if restores <= known => {}
                // One that was given up leaves its number out.
                Ok(None) if gap < RESTORES_GAP_MAX => gap += 1,
                _ => break,
            }
        }
    } else {
        held = present.load().ok().flatten();
    }
    if configuration.tpm.is_some() {
        // An index holds no checkpoint, but tells whether it took the newest one here last.
        let after = newest.checkpoint.held_after().map(|held| held.0.to_vec());
        held = held.filter(|held| Some(held) == after.as_ref()).map(|_| newest.note.clone());
    }
    held.map(|note| String::from_utf8_lossy(&note).into_owned())
}

/// Has a TPM's index written for the first time, or carries out what the operators order or ordered before.
fn change(enclave: UnixStream, directory: &HostDir, config: &Config, settings: &RunSettings) -> Outcome<HostWord> {
    let disk = Disk::open(directory, config)?;
    if let Some(place) = &settings.prime {
        prime(enclave, &disk, place)?;
        return Ok(HostWord::Primed);
    }
    if let Some(ordered) = settings.change.as_ref().filter(|_| settings.rehearses) {
        rehearse(enclave, directory, disk, ordered)?;
        return Ok(HostWord::Rehearsed);
    }
    let gives_up = settings.change.as_ref().is_some_and(|ordered| ordered.gives_up);
    if let Some(ordered) = &settings.change {
        put_down(directory, &disk, ordered)?;
    }
    carry_out(enclave, directory, disk, gives_up)?;
    Ok(HostWord::Changed)
}

/// Has the enclave judge what the operators order in an earlier change's place.
fn rehearse(enclave: UnixStream, directory: &HostDir, disk: Disk, ordered: &OrderedChange) -> Outcome {
    let Disk { database, deployment, mut anchor, log_key, .. } = disk;
    let (next, order, witnesses) = ordered.read()?;
    let places = Places::new(&witnesses, next.tpm.as_ref().zip(ordered.tpm.as_deref()));
    places.fit(directory)?;
    let ahead = places.added(directory.server()?);
    let mut next_anchor = self::anchor(directory, &ahead, log_key.as_ref(), &next, &database, restores(&database)?)?;
    let records = Records::new(database);
    let (anchor, next_anchor) = (&mut *anchor, &mut *next_anchor);
    let parts = ChangeParts { deployment: &deployment, records: &records, anchor, next_anchor, clock: &HostClock };
    pinseal_host::rehearse(enclave, parts, &next, &order).map_err(|error| {
        let failure = changing(&error, None);
        let is_in_force = || {
            let entry = pinseal_host::newest_entry(&records).ok().flatten();
            pinseal_host::is_in_force(&deployment, entry.as_deref()).ok().flatten()
        };
        let failure = match failure.code.as_str() {
            "state_mismatch" if is_in_force() != Some(false) => failure.advise(
                "where the newest change in the log is finished run the command without --give-up-change; else put database, root.sealed and \
                 configuration.cbor of one time back",
            ),
            "order_refused" if next.tpm.is_some() => {
                failure.advise("run the same command again: what the TPM holds may have gone on meanwhile")
            }
            _ => failure,
        };
        Failure { sentence: format!("{}; nothing was given up", failure.sentence), ..failure }
    })
}

/// Writes down what the operators ordered.
fn put_down(directory: &HostDir, disk: &Disk, ordered: &OrderedChange) -> Outcome {
    let Disk { database, deployment, .. } = disk;
    let (next, order, witnesses) = ordered.read()?;
    let places = Places::new(&witnesses, next.tpm.as_ref().zip(ordered.tpm.as_deref()));
    let records = Records::new(database.clone());
    places.fit(directory)?;
    let earlier = if ordered.gives_up { Earlier::GivenUp } else { Earlier::Stays };
    let restores = cbor::from_slice::<Order>(&order.order).ok().and_then(|order| order.restores);
    let newest = || records.newest().ok().flatten().map(|newest| newest.checkpoint);
    let before = newest();
    let done = pinseal_host::order_change(deployment, &records, &next, &order, earlier)
        .map_err(|error| changing(&error, None))
        .and_then(|()| {
            places.keep(directory, deployment).or_else(|failure| {
                deployment.withdraw_change().map_err(|error| Failure::failed("file", chain(&error)))?;
                Err(failure)
            })
        });
    done.map_err(|failure| match ordered.gives_up && newest() != before {
        true => Fate::of(deployment, &records).told(failure, restores, true),
        false => failure,
    })
}

/// Carries out the change of the configuration that was ordered here.
fn carry_out(enclave: UnixStream, directory: &HostDir, disk: Disk, has_given_up: bool) -> Outcome {
    let Disk { database, deployment, mut anchor, log_key, .. } = disk;
    let records = Records::new(database.clone());
    let ordered = pinseal_host::ordered(&deployment, &records).map_err(|error| changing(&error, log_key.as_ref()))?;
    let ordered = ordered.ok_or_else(|| changing(&ChangeError::NotOrdered, None))?;
    let restores = ordered.restores(restores(&database)?);
    // What witnesses have to be told of: each restore's log has a name of its own.
    let next_log = log_key
        .as_ref()
        .filter(|_| ordered.next.witnesses.is_some())
        .map(|key| log_verifier_key(&ordered.next.deployment, restores, key.key()));
    let ahead = places::ahead(directory.server()?, &deployment)?;
    let mut next_anchor = self::anchor(directory, &ahead, log_key.as_ref(), &ordered.next, &database, restores)?;
    let (anchor, next_anchor) = (&mut *anchor, &mut *next_anchor);
    let parts = ChangeParts { deployment: &deployment, records: &records, anchor, next_anchor, clock: &HostClock };
    pinseal_host::change(enclave, parts).map_err(|error| {
        let failure = changing(&error, next_log.as_ref());
        Fate::of(&deployment, &records).told(failure, ordered.restores_to, has_given_up)
    })?;
    crate::deployment::finish_change(directory, &deployment).map(drop)
}

/// The token issuer that the configuration trusts, and the same with its key.
///
/// # Errors
/// The configuration trusts another, or its key is missing, open to others, or not the one that is trusted.
fn own_issuer(config: &Config, configuration: &Configuration) -> Outcome<(TrustedIssuer, Issuer)> {
    let own = config.issuer_name();
    let trusted = configuration.issuers.iter().find(|issuer| issuer.issuer == own).cloned();
    let trusted = trusted.ok_or_else(|| {
        Failure::failed("issuer_unknown", "the sealed configuration does not trust this server's token issuer")
            .advise("server.toml belongs to another deployment; put the right one back")
    })?;
    let path = config.issuer_key_file.display();
    let refused = |what: String, advice: &str| Failure::failed("issuer_key", format!("{path}: {what}")).advise(advice);
    let lost = "put the token issuer's key and configuration.cbor back from one backup; where the key is lost, `pinseal config change --new-issuer-key` \
                makes another (in a restore `pinseal restore --new-issuer-key`), and every access token given out before ends";
    let issuer = Issuer::load(&config.issuer_key_file, configuration.deployment).map_err(|error| match error {
        IssuerError::Mode => refused(
            chain(&error),
            "where nobody else has read it take its mode back to 0600; else `pinseal config change --new-issuer-key`, after that, makes another",
        ),
        error => refused(chain(&error), lost),
    })?;
    if issuer.public() != trusted.key {
        return Err(refused("this is not the key that configuration.cbor trusts".to_owned(), lost));
    }
    Ok((trusted, issuer))
}

async fn serve(
    enclave: UnixStream,
    listener: tokio::net::TcpListener,
    directory: &HostDir,
    mut config: Config,
    settings: &RunSettings,
    supervised: bool,
) -> Outcome {
    if let Some(smtp) = &settings.smtp {
        config.mail.smtp_url = smtp.duplicate();
    }
    let disk = Disk::open(directory, &config)?;
    if pinseal_host::is_unfinished(&disk.deployment, &Records::new(disk.database.clone())).unwrap_or(false) {
        // Nothing boots before a change that is in the log is finished, and one connection is one boot.
        let directory = directory.clone();
        blocking(move || carry_out(enclave, &directory, disk, false)).await?;
        HostWord::Changed.say();
        return if supervised {
            Ok(())
        } else {
            Err(Failure::failed("changed", "an interrupted change of the configuration was finished")
                .advise("start enclave and host again"))
        };
    }
    let Disk { database, deployment, anchor, configuration, log_key } = disk;
    let (issuer, storage) = own_issuer(&config, &configuration)?;
    let vault = Arc::new(Vault::new(issuer, storage.storage_key(), &configuration.deployment));
    let records = Records::new(database.clone());
    let (log, files, level) = (records.clone(), deployment.clone(), configuration.anchor);
    let parts = TrunkParts { deployment, records, anchor, vault, configuration, clock: Arc::new(HostClock) };
    let started = tokio::task::spawn_blocking(move || Trunk::start(enclave, parts)).await;
    let trunk = started
        .map_err(|error| Failure::failed("boot", format!("the boot was interrupted: {error}")))?
        .map_err(|error| boot(&error, level, log_key.as_ref()))
        .map_err(|failure| match pinseal_host::given_up(&log) {
            Ok(Some(_)) => boot_beside_change(failure),
            _ => failure,
        })?;
    drop_order(&files, &log);
    let (stopped, stop) = oneshot::channel();
    trunk.on_stop(move |reason| drop(stopped.send(reason)));
    trunk.on_pause(|pause| {
        tracing::warn!(
            log_entry = pause.index,
            since = pause.time.0,
            "enrolment is paused: too many wrong PINs of devices that are not enrolled; `pinseal resume` resumes it"
        );
    });

    let (ending_trunk, ending_database) = (trunk.clone(), database.clone());
    let networks = ChainNetworks::open(directory, database.clone(), settings.node.as_deref())?;
    let tracking = networks.track();
    let state = AppState::new(
        config,
        Parts {
            accounts: Arc::new(database),
            wallets: Arc::new(EnclaveWallets { trunk, records: log }),
            networks: Arc::new(networks),
            clock: Arc::new(ServerClock::default()),
        },
    )
    .map_err(|error| Failure::failed("server", chain(&error)))?;
    open_page(&state, settings, &listener).await?;
    // Whoever hears "ready" may tell us to stop.
    let told = signals::stop();
    if supervised {
        HostWord::Ready.say();
    }
    let mut reason = None;
    let ended = async {
        tokio::select! {
            () = told => {}
            stopped = stop => reason = Some(stopped.unwrap_or(Stop::Disconnected)),
        }
    };
    let served = pinseal_server::serve(state, listener, ended).await;
    tracking.abort();
    blocking(move || {
        close(&ending_trunk, &ending_database);
        Ok(())
    })
    .await?;
    served.map_err(|error| Failure::failed("server", chain(&error)))?;
    reason.map_or(Ok(()), |reason| Err(stop_failure(&reason, level)))
}

/// Takes an order away that is not in the log, and what is left of one: this boot is in it, so the order's checkpoint is not the newest any more and
/// nothing can come of it.
fn drop_order(files: &Deployment, records: &Records) {
    let lies_there = [DeploymentFile::Order, DeploymentFile::NextConfiguration, DeploymentFile::NextPlaces]
        .into_iter()
        .any(|file| files.path(file).exists());
    let is_dead = lies_there
        && pinseal_host::ordered(files, records).is_ok_and(|ordered| ordered.is_none_or(|one| !one.is_logged()));
    if is_dead && let Err(error) = files.withdraw_change() {
        tracing::warn!(error = chain(&error), "an order that came to nothing was not taken away");
    }
}

/// Ends what writes, and leaves one file that is the whole database. Where that fails nothing is lost: what is missing in it lies beside it.
fn close(trunk: &Trunk, database: &Sqlite) {
    trunk.close();
    if let Err(error) = database.close() {
        tracing::warn!(
            error = chain(&error),
            "the database's log was not copied into its file: a backup is a copy of both"
        );
    }
}

/// Opens the wallet page, where this program has it and an origin was set.
async fn open_page(state: &AppState, settings: &RunSettings, listener: &tokio::net::TcpListener) -> Outcome {
    let Some(page) = page::built() else { return Ok(()) };
    let address = listener
        .local_addr()
        .map_err(|error| Failure::failed("descriptor", format!("the listening socket has no address: {error}")))?;
    let opened = state.open_page(page, settings.wallet.clone(), address).await;
    opened.map(drop).map_err(|error| Failure::failed("server", chain(&error)))
}
