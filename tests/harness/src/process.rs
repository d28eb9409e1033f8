//! One child process of the product, and the guard that leaves none behind.

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

/// A program of the product that can be started, stopped, killed and started again.
pub(crate) struct Process {
    pub(crate) name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    pub(crate) log: PathBuf,
    pub(crate) ops: SocketAddr,
    /// File descriptors that it may have at most; the shell's limit without.
    pub(crate) descriptors: Option<u64>,
    child: Option<Child>,
    /// Taken for the process as long as this lives.
    _ports: Vec<Port>,
}

impl Process {
    pub(crate) fn new(
        name: String,
        program: PathBuf,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
        log: PathBuf,
        ops: Port,
        more: Option<Port>,
    ) -> Self {
        let address = ops.address();
        let ports = [Some(ops), more].into_iter().flatten().collect();
        Self { name, program, arguments, environment, log, ops: address, descriptors: None, child: None, _ports: ports }
    }

    pub(crate) fn is_started(&self) -> bool {
        self.child.is_some()
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it; what it says is added to its log.
    pub(crate) fn start(&mut self, guard: &mut Guard) {
        assert!(self.child.is_none(), "{} is running already", self.name);
        let log = File::options().create(true).append(true).open(&self.log).expect("the log file can be written");
        // Runs the program in its own place: the number of the process stays.
        let mut command = match self.descriptors {
            None => Command::new(&self.program),
            Some(most) => {
                let mut limited = Command::new("prlimit");
                limited.arg(format!("--nofile={most}:{most}")).arg(&self.program);
                limited
            }
        };
        let child = command
            .args(&self.arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", self.program.display()));
        guard.watch(child.id());
        self.child = Some(child);
    }

    /// How it ended, if it did without being told to.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, guard: &mut Guard) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let status = child.wait().expect("a killed child ends");
            guard.forget(child.id());
            assert_eq!(status.signal(), Some(9), "{} had ended by itself before: {status}", self.name);
        }
    }

    /// SIGSTOP, or SIGCONT after it.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.signal(if frozen { "STOP" } else { "CONT" });
    }

    /// SIGHUP, as when a terminal is closed.
    pub(crate) fn hang_up(&self) {
        self.signal("HUP");
    }

    /// From now on it may have so many file descriptors open, or with `None` as many as its hard
    /// limit allows: what the product raises its own to at its start.
    pub(crate) fn limit_now(&self, most: Option<u64>) {
        let Some(child) = &self.child else { return };
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap_or_default();
        let hard = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().nth(1));
        let soft = most.map(|most| most.to_string()).or(hard.map(str::to_owned)).unwrap_or_default();
        let set = Command::new("prlimit").args([format!("--pid={}", child.id()), format!("--nofile={soft}:")]).status();
        assert!(set.is_ok_and(|status| status.success()), "the descriptors of {} cannot be limited", self.name);
    }

    /// SIGTERM; [`Process::ended`] tells when it is through.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            let done = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status();
            assert!(done.is_ok_and(|status| status.success()), "SIG{name} cannot be sent to {}", self.name);
        }
    }

    /// After [`Process::ended`] has told: it may be started again.
    pub(crate) fn forget(&mut self, guard: &mut Guard) {
        if let Some(child) = self.child.take() {
            guard.forget(child.id());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A shell that kills what it was told of as soon as this process is gone, however it
/// went: a test that is killed itself runs no destructor.
pub(crate) struct Guard {
    shell: Child,
    tell: Option<ChildStdin>,
}

const GUARD: &str = r#"
pids=
while read -r sign pid; do
    case $sign in
    +) pids="$pids $pid" ;;
    -) left=; for one in $pids; do [ "$one" = "$pid" ] || left="$left $one"; done; pids=$left ;;
    esac
done
for pid in $pids; do kill -s KILL -- "-$pid" 2>/dev/null; done
"#;

impl Guard {
    pub(crate) fn start() -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", GUARD])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell can be started");
        let tell = shell.stdin.take();
        Self { shell, tell }
    }

    fn say(&mut self, sign: char, pid: u32) {
        if let Some(tell) = &mut self.tell {
            let _ = writeln!(tell, "{sign} {pid}");
        }
    }

    fn watch(&mut self, pid: u32) {
        self.say('+', pid);
    }

    fn forget(&mut self, pid: u32) {
        self.say('-', pid);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.tell.take());
        let _ = self.shell.wait();
    }
}

/// A loopback port that no other test of this machine's run takes.
pub(crate) struct Port {
    number: u16,
    _claim: File,
}

impl Port {
    /// Below the range that outgoing connections take, so that it is still free when its
    /// process is started a second time.
    pub(crate) fn pick(folder: &Path) -> Self {
        let folder = folder.join("ports");
        std::fs::create_dir_all(&folder).expect("a folder for claims");
        for _ in 0..500 {
            let number = 15_000 + u16::try_from(uuid::Uuid::new_v4().as_u128() % 17_000).expect("small");
            let claim = File::create(folder.join(number.to_string())).expect("a claim");
            if claim.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self { number, _claim: claim };
            }
        }
        panic!("no free port found");
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

/// Names another folder of programs, for a comparison with another commit.
pub const PROGRAMS: &str = "BRIDGE_PROGRAMS";

/// `target/<profile>`: where the programs lie, beside the one that runs now, unless [`PROGRAMS`]
/// says otherwise.
///
/// # Panics
/// When they are not built.
pub fn programs() -> PathBuf {
    if let Some(folder) = std::env::var_os(PROGRAMS) {
        return folder.into();
    }
    let here = std::env::current_exe().expect("the path of this program");
    let folder = here.parent().expect("a folder");
    let folder = if folder.ends_with("deps") { folder.parent().expect("a folder") } else { folder };
    for program in ["bridge", "ingress", "worker", "scheduler"] {
        assert!(
            folder.join(program).exists(),
            "{} is missing: build it first (`./tests/run` does, or `cargo build --workspace --bins`)",
            folder.join(program).display()
        );
    }
    folder.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_watched_does_not_outlive_its_guard() {
        let mut guard = Guard::start();
        let mut child = Command::new("sleep").arg("600").process_group(0).spawn().expect("a child");
        guard.watch(child.id());
        drop(guard);
        // As the guard's shell has ended, what it kills has been killed.
        let status = child.wait().expect("a status");
        assert_eq!(status.signal(), Some(9));
    }
}
