//! A folder with a service in it, which ends with the test whatever becomes of that.

use crate::wire::{Answer, Connection, Events};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};

/// How long a service may take to start or to stop, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Looks until something is so.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A home, and a data folder in it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    data: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        Self { folder, data }
    }

    /// The same home with the data folder elsewhere.
    pub(crate) fn with_data(mut self, data: &Path) -> Self {
        self.data = data.to_owned();
        self
    }

    /// Writes the user's configuration, with files beside it.
    pub(crate) fn configure(&self, configuration: &str, beside: &[(&str, &str)]) {
        let folder = self.path(".config/crucible");
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in [&[("config.toml", configuration)], beside].concat() {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the service has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The command, which knows nothing but this place.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        // A shell starts what it has in the background with signals ignored, and so Crucible would be right to ignore them.
        let mut command = Command::new("/usr/bin/env");
        command.arg("--default-signal=HUP,INT,TERM").arg(env!("CARGO_BIN_EXE_crucible")).args(arguments);
        command.env_clear().env("HOME", self.folder.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LLVM_PROFILE_FILE", "/dev/null");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The same, which shows a key to a service.
    pub(crate) fn run_with_key(&self, key: &str, arguments: &[&str]) -> Output {
        self.command(arguments).env("CRUCIBLE_KEY", key).output().unwrap()
    }

    /// Runs the command, which must end well and say nothing on standard error.
    #[track_caller]
    pub(crate) fn well(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}: {said}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the command, which must end with this code and an error that says all of `parts`.
    #[track_caller]
    pub(crate) fn badly(&self, arguments: &[&str], code: i32, parts: &[&str]) {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
    }

    /// Runs a verb on the data folder.
    pub(crate) fn on_data<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        [arguments, &["--data-dir", self.data.to_str().unwrap()]].concat()
    }

    /// Starts the service, and waits until it has tested itself.
    pub(crate) fn serve(&self, more: &[&str]) -> Server {
        let mut server = self.begin(more);
        server.address = until_listening(&mut server.child, self);
        server
    }

    /// Starts the service and waits for nothing.
    pub(crate) fn begin(&self, more: &[&str]) -> Server {
        self.begin_in(&[], more)
    }

    /// Starts the service by way of another program, which becomes it, and waits until it has tested itself.
    pub(crate) fn serve_in(&self, way: &[&str], more: &[&str]) -> Server {
        let mut server = self.begin_in(way, more);
        server.address = until_listening(&mut server.child, self);
        server
    }

    /// Starts the service by way of another program, which becomes it, and waits for nothing.
    pub(crate) fn begin_in(&self, way: &[&str], more: &[&str]) -> Server {
        let anywhere: &[&str] = if more.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
        let arguments = [&["serve"], anywhere, more].concat();
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let plain = self.command(&self.on_data(&arguments));
        let mut command = match way.split_first() {
            None => plain,
            Some((program, rest)) => {
                let mut command = Command::new(program);
                command.args(rest).arg(plain.get_program()).args(plain.get_args()).env_clear();
                command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
                command.stdin(Stdio::null()).stdout(Stdio::piped());
                command
            }
        };
        let child = command.stderr(log).spawn().unwrap();
        Server { child, address: String::new(), key: None }
    }
}

fn until_listening(child: &mut Child, place: &Place) -> String {
    let output = BufReader::new(child.stdout.take().unwrap());
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for line in output.lines() {
            let Ok(line) = line else { return };
            if let Some(address) = line.strip_prefix("listening on http://") {
                let _ = told.send(address.split(',').next().unwrap_or_default().to_owned());
            }
        }
    });
    heard.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("it doesn't listen: {error}: {}", place.log()))
}

/// A service that runs. It ends with this.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    /// The key that is shown with each request.
    pub(crate) key: Option<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn process(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        until("the service ends", || self.child.try_wait().unwrap())
    }

    /// Ends it at once.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as whoever keeps services does.
    pub(crate) fn stop(mut self) {
        self.signal(rustix::process::Signal::TERM);
        let status = self.ended();
        assert!(status.success(), "{status}");
    }

    fn head(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("host: {}\r\n", self.address));
        }
        if let Some(key) = &self.key {
            head.push_str(&format!("authorization: Bearer {key}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }

    /// Asks, and gives what begins to come.
    pub(crate) fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Connection> {
        let mut head = self.head(method, path, headers);
        if !headers.iter().any(|(name, _)| ["content-length", "transfer-encoding", "upgrade"].contains(name)) {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        Connection::send(&self.address, &head, body)
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.open(method, path, headers, body).and_then(Connection::answer).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, &[], b"")
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.ask(method, path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, body)
    }

    /// Follows events.
    pub(crate) fn follow(&self, path: &str, headers: &[(&str, &str)]) -> Events {
        Events::of(self.open("GET", path, headers, b"").unwrap())
    }

    /// Asks for a WebSocket.
    pub(crate) fn open_socket(&self, path: &str, headers: &[(&str, &str)]) -> Connection {
        let head = self.head("GET", path, headers).replace("connection: close", "connection: upgrade");
        Connection::send(&self.address, &format!("{head}\r\n"), b"").unwrap()
    }

    /// Asks for something that takes long, on a thread of its own.
    pub(crate) fn open_waiting(&self, path: &str) -> std::thread::JoinHandle<Answer> {
        let (head, address) = (format!("{}\r\n", self.head("GET", path, &[])), self.address.clone());
        let (asked, begun) = mpsc::channel();
        let asking = std::thread::spawn(move || {
            let _ = asked.send(());
            Connection::send(&address, &head, b"").and_then(Connection::answer).unwrap()
        });
        begun.recv().unwrap();
        asking
    }

    /// Submits a program of the shell, and gives its id.
    #[track_caller]
    pub(crate) fn submit(&self, code: &str) -> String {
        self.submit_with(json!({"code": code, "language": "bash"}))
    }

    #[track_caller]
    pub(crate) fn submit_with(&self, request: Value) -> String {
        self.post("/v1/evaluations", &request).expect(202)["id"].as_str().unwrap().to_owned()
    }

    /// The evaluation, once it has its result or is held.
    #[track_caller]
    pub(crate) fn result(&self, id: &str) -> Value {
        let found = self.get(&format!("/v1/evaluations/{id}?wait=60s")).expect(200);
        assert!(!["queued", "running"].contains(&found["state"].as_str().unwrap()), "{found}");
        found
    }

    /// Waits until a program has written something.
    #[track_caller]
    pub(crate) fn until_written(&self, id: &str) {
        let mut events = self.follow(&format!("/v1/evaluations/{id}/events"), &[]);
        assert!(events.any(|event| event.kind == "output_produced"), "{id} wrote nothing");
    }
}

/// A service that several tests use at one time, and what it is in.
pub(crate) struct Shared {
    pub(crate) server: Server,
    pub(crate) place: Place,
}

/// The shared service: started by the first test that needs it, ended with the last that does.
pub(crate) fn shared() -> Arc<Shared> {
    static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());
    let mut known = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    known.upgrade().unwrap_or_else(|| {
        let place = Place::new();
        let shared = Arc::new(Shared { server: place.serve(&[]), place });
        *known = Arc::downgrade(&shared);
        shared
    })
}
