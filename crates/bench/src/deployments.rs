//! Deployments with registered people, kept between runs and copied before use: what is measured on a copy leaves no trace.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use pinseal_protocol::request::REQUEST_VERSION;
use pinseal_protocol::wire::WIRE_VERSION;
use rustix::fs::{FlockOperation, flock};
use tokio::task::JoinSet;

use crate::mailbox::Codes;
use crate::populate::populate;
use crate::say;
use crate::system::{Programs, System, init};
use crate::user::{Boot, Known, User, attest};

/// Changes when what is kept changes in a way that the versions beside it do not show.
const FORMAT: u32 = 1;
/// People who register at once: each computes Argon2id.
const REGISTERING_AT_ONCE: usize = 4;

/// A deployment in use, and everybody who is registered in it.
pub(crate) struct Deployment {
    pub(crate) system: System,
    pub(crate) users: Vec<User>,
    pub(crate) boot: Arc<Boot>,
}

/// Where deployments are kept and copied to.
pub(crate) struct Yard {
    root: PathBuf,
    /// Held while this process measures: two at once would measure each other, and clear away each other's copies.
    _lock: File,
    pub(crate) programs: Programs,
    pub(crate) mailbox: Arc<tokio::sync::Mutex<Codes>>,
    smtp: String,
    /// What is served has a local EVM node.
    with_node: bool,
}

impl Yard {
    /// In `root`, which is made.
    pub(crate) async fn open(root: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(root).with_context(|| root.display().to_string())?;
        let root = root.canonicalize().with_context(|| root.display().to_string())?;
        let lock = File::create(root.join("lock")).context("lock")?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .with_context(|| format!("another measurement runs in {}", root.display()))?;
        let mailbox = Codes::open().await?;
        let smtp = mailbox.url().to_owned();
        Ok(Self {
            root,
            _lock: lock,
            programs: Programs::find()?,
            mailbox: Arc::new(tokio::sync::Mutex::new(mailbox)),
            smtp,
            with_node: false,
        })
    }

    /// From now on what is served has a local EVM node beside it.
    pub(crate) fn with_node(self) -> Self {
        Self { with_node: true, ..self }
    }

    /// A directory for what only this run needs; emptied first.
    pub(crate) fn scratch(&self, name: &str) -> anyhow::Result<PathBuf> {
        let directory = self.root.join("run").join(name);
        if directory.exists() {
            std::fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
        }
        std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        Ok(directory)
    }

    /// Forgets what only this run needed.
    pub(crate) fn sweep(&self) -> anyhow::Result<()> {
        let run = self.root.join("run");
        if run.exists() {
            std::fs::remove_dir_all(&run).with_context(|| run.display().to_string())?;
        }
        Ok(())
    }

    /// Serves a copy of the deployment `name` with `people` registered people and fillers up to `wallets`; makes it first if it is
    /// not kept, or if what is kept is of another build and does not boot.
    pub(crate) async fn serve(&self, name: &str, people: usize, wallets: usize) -> anyhow::Result<Deployment> {
        let version = format!("{FORMAT}.{WIRE_VERSION}.{REQUEST_VERSION}");
        let kept = self.root.join(format!("kept-{version}-{people}-of-{wallets}"));
        if kept.join("users.json").is_file() {
            match self.serve_copy(name, &kept).await {
                Ok(deployment) => return Ok(deployment),
                Err(error) => say!("making {} anew: {error:#}", kept.display()),
            }
            std::fs::remove_dir_all(&kept).with_context(|| kept.display().to_string())?;
        }
        self.make(&kept, people, wallets).await?;
        self.serve_copy(name, &kept).await
    }

    async fn serve_copy(&self, name: &str, kept: &Path) -> anyhow::Result<Deployment> {
        let directory = self.scratch(name)?;
        copy(kept, &directory)?;
        let text = std::fs::read(directory.join("users.json")).context("users.json")?;
        let known: Vec<Known> = serde_json::from_slice(&text).context("users.json")?;
        let system = self.start(&directory.join("data"))?;
        let boot = attest(&system.target).await?;
        let mut users = Vec::with_capacity(known.len());
        for one in known {
            users.push(User::again(&system.target, Arc::clone(&boot), one).await?);
        }
        Ok(Deployment { system, users, boot })
    }

    /// Serves a deployment that is made for this run alone, with registered people; `prepare` is shown its directory before it is booted.
    pub(crate) async fn fresh(
        &self,
        name: &str,
        more: &[&str],
        people: usize,
        prepare: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Deployment> {
        let data = self.scratch(name)?.join("data");
        init(&self.programs, &data, more)?;
        prepare(&data)?;
        let system = self.start(&data)?;
        let boot = attest(&system.target).await?;
        let mut users = Vec::with_capacity(people);
        for one in self.register(&system, &boot, people).await? {
            users.push(User::again(&system.target, Arc::clone(&boot), one).await?);
        }
        Ok(Deployment { system, users, boot })
    }

    /// Serves what lies in a data directory of ours.
    pub(crate) fn start(&self, data: &Path) -> anyhow::Result<System> {
        System::start(&self.programs, data, &self.smtp, self.with_node)
    }

    async fn make(&self, kept: &Path, people: usize, wallets: usize) -> anyhow::Result<()> {
        say!("registering {people} people, once; kept in {}", kept.display());
        let making = self.root.join("making");
        if making.exists() {
            std::fs::remove_dir_all(&making).with_context(|| making.display().to_string())?;
        }
        std::fs::create_dir_all(&making).with_context(|| making.display().to_string())?;
        let data = making.join("data");
        init(&self.programs, &data, &[])?;
        let system = self.start(&data)?;
        let boot = attest(&system.target).await?;
        let known = self.register(&system, &boot, people).await?;
        system.stop()?;
        populate(&data, wallets.saturating_sub(people))?;
        std::fs::write(making.join("users.json"), serde_json::to_vec(&known)?).context("users.json")?;
        std::fs::rename(&making, kept).with_context(|| kept.display().to_string())
    }

    async fn register(&self, system: &System, boot: &Arc<Boot>, people: usize) -> anyhow::Result<Vec<Known>> {
        let (mut known, mut running) = (Vec::with_capacity(people), JoinSet::new());
        let mut next = 0;
        while known.len() < people {
            while next < people && running.len() < REGISTERING_AT_ONCE {
                let (target, boot, mailbox) = (system.target.clone(), Arc::clone(boot), Arc::clone(&self.mailbox));
                let email = format!("person-{next:04}@bench.example.org");
                running.spawn_local(async move {
                    User::register(&target, boot, &mailbox, &email).await.map(|user| user.known())
                });
                next += 1;
            }
            let one = running.join_next().await.context("nobody registers")?;
            known.push(one.context("a registration panicked")??);
            if known.len() % 32 == 0 {
                say!("  {} of {people}", known.len());
            }
        }
        Ok(known)
    }
}

/// Copies a directory, sharing blocks where the file system can.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let status = Command::new("cp")
        .args(["--archive", "--reflink=auto", "--no-target-directory"])
        .args([from, to])
        .status()
        .context("cp")?;
    ensure!(status.success(), "cannot copy {}", from.display());
    Ok(())
}
