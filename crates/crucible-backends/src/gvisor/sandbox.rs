//! One sandbox: the processes of gVisor on this machine, and the agent inside.

use super::backend::Recipe;
use super::bundle::{AGENT, GUEST_ID, Home, IDS_OF_ROOT, Root};
use super::runsc::{self, Runsc, Top};
use crate::agent::{AgentSide, WRITABLE, door_address, filter, greeting_error};
use crate::ahead::HasOneWait;
use crate::fork::{FORK, kept_if};
use crate::native::{start_error, translate};
use async_trait::async_trait;
use crucible_agent::host::{AgentClient, Beginning, Content, Owner, RootInside, Space, SpaceFolder};
use crucible_core::{
    Command, CommandControl, Counters, Door, Error, ErrorKind, Execution, ExitStatus, FileContent, FileEntry,
    GuestPath, Language, Layers, LiveFeature, Loss, Monitoring, NetworkKind, Observer, Posture, PostureFact,
    PostureState, ProcessHandle, Readiness, Result, Sandbox, SandboxId, SeesNothing, Touched, TripwireWatch, Users,
    WatchedPlace,
};
use crucible_jail::host::cgroup::{Cgroup, CgroupLimits};
use crucible_jail::host::posture::{Aspect, Look, Seen};
use crucible_jail::host::{self, JailError, Launcher, Started};
use crucible_jail::plan::{Ended, GUEST_FOLDERS, ROOTS_CAPABILITIES, ROOTS_FOLDERS};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long gVisor may take to have a sandbox stand. One that hangs must not be waited for, whoever asked for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most bytes that are kept of what `runsc` says.
const MOST_SAID: usize = 8 << 10;
/// The codes with which `runsc` ends where it failed itself, and where its kernel or the agent was killed. No guest can kill
/// either: one of them isn't in its world, and the other has another user or, with root inside, is in no namespace of its.
const FAILED: i32 = 128;
const KILLED: i32 = 128 + 9;
/// What is taken away of what `runsc` puts in every sandbox's `/dev`.
const NEEDLESS: [&str; 4] = ["/dev/fuse", "/dev/net/tun", "/dev/net", "/dev/tty"];

const LOOK: &str = "look at the sandbox from outside";

/// What the agent is to prepare: writable folders of so many bytes together, so many processes, who is inside, and a way out if
/// there is one.
pub(super) fn beginning(disk: u64, processes: u32, users: Users, network: NetworkKind) -> Beginning {
    let folder = |content| {
        move |(path, _, mode): &(&str, &str, u32)| SpaceFolder { path: (*path).to_owned(), mode: *mode, content }
    };
    let mut folders: Vec<SpaceFolder> = GUEST_FOLDERS.iter().map(folder(Content::Nothing)).collect();
    let (owner, root_inside) = match users {
        Users::Guest => (Some(Owner { user: GUEST_ID, group: GUEST_ID }), None),
        Users::Root => {
            folders.extend(ROOTS_FOLDERS.iter().map(folder(Content::OfRoot)));
            (None, Some(RootInside { ids: IDS_OF_ROOT.to_vec(), capabilities: ROOTS_CAPABILITIES }))
        }
    };
    Beginning {
        folders: WRITABLE.map(str::to_owned).to_vec(),
        owner,
        space: Some(Space { bytes: disk, folders }),
        root_inside,
        processes: Some(processes),
        remove: NEEDLESS.map(str::to_owned).to_vec(),
        filter: filter(network),
        listen: door_address(network),
    }
}

/// What `runsc` said on standard error so far, and the end of it.
struct Said {
    text: Arc<Mutex<Vec<u8>>>,
    listening: JoinHandle<()>,
}

impl Said {
    fn listen(mut stderr: Box<dyn AsyncRead + Send + Unpin>) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&text);
        let listening = tokio::spawn(async move {
            let mut piece = vec![0; 4 << 10];
            while let Ok(count @ 1..) = stderr.read(&mut piece).await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = MOST_SAID.saturating_sub(kept.len()).min(count);
                kept.extend_from_slice(piece.get(..room).unwrap_or_default());
            }
        });
        Self { text, listening }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// What the agent says, and what is said to it.
type Line = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

/// gVisor's processes for one sandbox, and all that has to be removed with them. Dropping it ends them.
pub(super) struct Machine {
    // In this order, so that everything is dying when the folder is removed.
    started: Started,
    said: Said,
    /// How `runsc` ended, once it has.
    ended: watch::Receiver<Option<Ended>>,
    line: Mutex<Option<Line>>,
    cgroup: Option<Cgroup>,
    /// What gVisor itself had in memory when the sandbox stood.
    own_memory: u64,
    folder: TempDir,
}

impl Machine {
    /// Starts `runsc` on a bundle of its own.
    ///
    /// # Errors
    /// `Unavailable` or `Infrastructure` where it can't be started. Nothing is left behind.
    pub(super) async fn start(
        launcher: &Launcher,
        runsc: &Runsc,
        home: &Home,
        root: &Root,
        cgroup: Option<Cgroup>,
        id: SandboxId,
    ) -> Result<Self> {
        let folder = home.room()?;
        root.write_bundle(folder.path())?;
        let bundle = runsc::text(folder.path())?;
        let argv = runsc.run(&format!("{bundle}/state"), &bundle, &format!("crucible-{id}"));
        let Top { started, running } = runsc::start(launcher, argv, &bundle, cgroup.as_ref()).await?;
        let (tell, ended) = watch::channel(None);
        let mut end = running.ended;
        tokio::spawn(async move {
            // Without an answer its init is gone, and it with that.
            let status = (&mut end).await.unwrap_or(Ended::Signaled(9));
            tell.send_replace(Some(status));
        });
        let said = Said::listen(running.stderr);
        Ok(Self {
            started,
            said,
            ended,
            line: Mutex::new(Some((running.stdout, running.stdin))),
            cgroup,
            own_memory: 0,
            folder,
        })
    }

    /// Greets the agent.
    ///
    /// # Errors
    /// `Infrastructure` with what `runsc` says where there is none.
    pub(super) async fn greet(mut self, beginning: Beginning) -> Result<(Self, AgentClient)> {
        let operation = "start the sandbox";
        let Some((reader, writer)) = self.line.get_mut().unwrap_or_else(PoisonError::into_inner).take() else {
            return Err(Error::new(ErrorKind::Infrastructure, operation, "the agent was greeted already"));
        };
        let greeting = AgentClient::connect_with(reader, writer, beginning);
        match tokio::time::timeout(PATIENCE, greeting).await {
            Ok(Ok(client)) => Ok((self, client)),
            Ok(Err(error)) => {
                // It may have more to say than the end of the line.
                let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.said.listening).await.is_ok();
                let error = greeting_error(operation, error, &self.said.so_far());
                self.destroy().await?;
                Err(error.with_hint("`crucible doctor` says whether gVisor works on this machine"))
            }
            Err(_) => {
                let said = self.said.so_far();
                self.destroy().await?;
                let message = format!("no sandbox stood within {} s; runsc says: {said:?}", PATIENCE.as_secs());
                Err(Error::new(ErrorKind::Infrastructure, operation, message)
                    .with_hint("name another platform by gvisor.platform in the configuration"))
            }
        }
    }

    /// Sets the guest's limits, now that the sandbox stands: what gVisor has in memory is added to the guest's.
    ///
    /// # Errors
    /// `Infrastructure` where the kernel refuses.
    pub(super) fn settle(&mut self, guest: CgroupLimits) -> Result<()> {
        let Some(cgroup) = &self.cgroup else { return Ok(()) };
        self.own_memory = cgroup.counters().memory.unwrap_or_default();
        let memory = self.own_memory.saturating_add(guest.memory);
        let lowered = cgroup.lower(&CgroupLimits { memory, ..guest });
        lowered.map_err(|error| translate("limit the sandbox", error))
    }

    /// The process of gVisor's kernel.
    pub(super) fn kernel(&self) -> Option<i32> {
        let is_kernel = |process: &i32| {
            std::fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| line.starts_with(b"runsc-sandbox\0"))
        };
        host::descendants(self.started.pid).into_iter().map(|(process, _)| process).find(is_kernel)
    }

    pub(super) const fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }

    fn cpu(&self) -> Duration {
        let counted = self.cgroup.as_ref().and_then(|cgroup| cgroup.counters().cpu);
        counted.unwrap_or_else(|| host::tree_usage(self.started.pid).cpu)
    }

    /// Ends everything and removes every trace.
    ///
    /// # Errors
    /// `Infrastructure` where something was left.
    pub(super) async fn destroy(self) -> Result<()> {
        let operation = "remove the sandbox";
        let Self { started, cgroup, folder, .. } = self;
        // gVisor's own way of ending takes longer, and leaves what this removes as well.
        match started.sandbox.end_processes().await {
            Ok(()) | Err(JailError::SandboxLost) => {}
            Err(error) => return Err(translate(operation, error)),
        }
        if let Some(cgroup) = &cgroup {
            cgroup.kill();
        }
        started.sandbox.kill();
        started.sandbox.wait_until_dead().await.map_err(|error| translate(operation, error))?;
        drop(started);
        if let Some(cgroup) = cgroup {
            cgroup.remove().await.map_err(|error| translate(operation, error))?;
        }
        folder.close().map_err(|error| {
            Error::new(ErrorKind::Infrastructure, operation, "the sandbox's folder can't be removed").with_source(error)
        })
    }
}

/// What a sandbox is made of.
pub(super) struct Parts {
    pub(super) id: SandboxId,
    pub(super) machine: Machine,
    pub(super) agent: AgentSide,
    pub(super) layers: Layers,
    pub(super) monitoring: Monitoring,
    pub(super) interpreter: Option<String>,
    pub(super) look: Option<Look>,
    /// By what one more is made, if it may be.
    pub(super) again: Option<Arc<Recipe>>,
}

/// A sandbox with a kernel of its own.
pub(super) struct GvisorSandbox {
    parts: Parts,
    /// What was used when the sandbox was ready, by gVisor itself and an interpreter that waits: no guest's doing.
    cpu_before: Duration,
}

impl GvisorSandbox {
    pub(super) fn new(parts: Parts) -> Self {
        let cpu_before = parts.machine.cpu();
        Self { parts, cpu_before }
    }

    fn posture_of(&self, aspects: &[Aspect]) -> Result<Posture> {
        let Some(look) = &self.parts.look else {
            let hidden =
                PostureFact::new("process", "gVisor's kernel can't be seen by this user", PostureState::NotVisible);
            return Ok(Posture { facts: vec![hidden] });
        };
        let facts = look.look(aspects);
        // Another process may have got the number meanwhile.
        if self.parts.machine.ended.borrow().is_some() {
            return Err(translate(LOOK, JailError::SandboxLost));
        }
        let state = |seen| match seen {
            Seen::AsPlanned => PostureState::AsPlanned,
            Seen::Differs => PostureState::Differs,
            Seen::NotVisible => PostureState::NotVisible,
        };
        let facts = facts.into_iter().map(|fact| PostureFact::new(fact.name, fact.seen, state(fact.state)));
        Ok(Posture { facts: facts.collect() })
    }
}

#[async_trait]
impl HasOneWait for GvisorSandbox {
    async fn have_one_wait(&mut self, language: &Language) -> Result<()> {
        self.parts.agent.have_one_wait(language, self.parts.interpreter.as_deref()).await?;
        self.cpu_before = self.parts.machine.cpu();
        Ok(())
    }
}

#[async_trait]
impl Sandbox for GvisorSandbox {
    fn id(&self) -> SandboxId {
        self.parts.id
    }

    fn layers(&self) -> &Layers {
        &self.parts.layers
    }

    fn interpreter(&self) -> Option<&str> {
        self.parts.interpreter.as_deref()
    }

    fn readiness(&self) -> Readiness {
        self.parts.agent.readiness()
    }

    async fn exec(&self, command: Command) -> Result<Execution> {
        let mut execution = self.parts.agent.exec(command).await?;
        execution.process =
            Box::new(GvisorProcess { inside: execution.process, ended: self.parts.machine.ended.clone() });
        Ok(execution)
    }

    async fn write_file(
        &self,
        path: &GuestPath,
        content: &mut (dyn AsyncRead + Send + Unpin),
        executable: bool,
    ) -> Result<()> {
        self.parts.agent.write_file(path, content, executable).await
    }

    async fn read_file(&self, path: &GuestPath) -> Result<FileContent> {
        self.parts.agent.read_file(path).await
    }

    async fn list_files(&self, path: &GuestPath) -> Result<Vec<FileEntry>> {
        self.parts.agent.list_files(path).await
    }

    async fn fork(&self, id: SandboxId) -> Result<Box<dyn Sandbox>> {
        let Some(again) = &self.parts.again else { return Err(LiveFeature::Forks.refusal(FORK)) };
        let fork = Arc::clone(again).make(id).await?;
        let copied = self.parts.agent.copy_into(&fork.parts.agent, AGENT).await;
        kept_if(fork, copied).await
    }

    async fn end_processes(&self) -> Result<()> {
        self.parts.agent.end_processes().await
    }

    async fn counters(&self) -> Result<Counters> {
        let machine = &self.parts.machine;
        let seen = machine.cgroup().map(Cgroup::counters).unwrap_or_default();
        // How many processes the guest has only its own kernel knows.
        Ok(Counters {
            cpu: machine.cpu().saturating_sub(self.cpu_before),
            memory_bytes: seen.memory.map(|bytes| bytes.saturating_sub(machine.own_memory)),
            memory_peak_bytes: seen.memory_peak.map(|bytes| bytes.saturating_sub(machine.own_memory)),
            out_of_memory_kills: seen.out_of_memory_kills,
            ..Counters::default()
        })
    }

    async fn posture(&self) -> Result<Posture> {
        self.posture_of(&[Aspect::Privileges, Aspect::Reach, Aspect::Surroundings])
    }

    async fn posture_again(&self) -> Result<Posture> {
        self.posture_of(&[Aspect::Privileges])
    }

    async fn watch(&self, places: &[WatchedPlace]) -> Result<Box<dyn TripwireWatch>> {
        if places.is_empty() {
            return Ok(Box::new(WatchesNothing));
        }
        let message =
            "the files of a gVisor sandbox are in its own kernel's memory, where nobody outside can watch them";
        Err(Error::new(ErrorKind::Refused, "plant the tripwires", message).with_hint("use the jail"))
    }

    async fn observe(&self) -> Result<Box<dyn Observer>> {
        Ok(Box::new(SeesNothing::but(self.parts.monitoring.clone())))
    }

    fn door(&self) -> Result<Box<dyn Door>> {
        self.parts.agent.door()
    }

    fn loss(&self) -> Option<Loss> {
        let machine = &self.parts.machine;
        if machine.started.launcher_has_ended() {
            return Some(Loss::MachineryLost);
        }
        let ended = *machine.ended.borrow();
        match (self.parts.agent.loss(), ended) {
            (Some(Loss::RunnerBrokeItsWord), _) => Some(Loss::RunnerBrokeItsWord),
            // Killed from outside, or failed: no guest can do that to it without having left gVisor.
            (_, Some(Ended::Signaled(_) | Ended::Exited(FAILED | KILLED))) => Some(Loss::MachineryLost),
            (loss, Some(Ended::Exited(_))) => Some(loss.unwrap_or(Loss::RunnerEnded)),
            (loss, None) => loss,
        }
    }

    async fn destroy(self: Box<Self>) -> Result<()> {
        let Parts { machine, agent, .. } = self.parts;
        drop(agent);
        machine.destroy().await
    }
}

/// A command's process, the end of which is told when it is also known how gVisor ended, if it did.
struct GvisorProcess {
    inside: Box<dyn ProcessHandle>,
    ended: watch::Receiver<Option<Ended>>,
}

#[async_trait]
impl ProcessHandle for GvisorProcess {
    async fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.inside.wait().await?;
        if status == ExitStatus::SandboxLost {
            // The line to the agent is cut when `runsc` has ended. It takes a moment until that is told, in which the reason
            // isn't known; one that lied may live on.
            let _ = tokio::time::timeout(Duration::from_secs(1), self.ended.wait_for(Option::is_some)).await.is_ok();
        }
        Ok(status)
    }

    fn control(&self) -> Arc<dyn CommandControl> {
        self.inside.control()
    }
}

struct WatchesNothing;

impl TripwireWatch for WatchesNothing {
    fn touched(&mut self) -> Vec<Option<Touched>> {
        Vec::new()
    }
}

/// An error of making a control group.
pub(super) fn cgroup_error(error: JailError) -> Error {
    start_error("make the sandbox's control group", error)
}
