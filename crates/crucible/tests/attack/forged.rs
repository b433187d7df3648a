//! Nothing that a guest prints, writes or ends makes a property held that isn't known to be.

use crate::is_jail_usable;
use crate::scenarios::{EVERYTHING, MOUNTS, SECRET, Scenarios};

/// Reaches the canary where it can. Otherwise it says all that a perfect result could be made of, and not that it tried.
const CLAIMS: &str = r#"
LINES = [
    '{"nonce": "%s", "result": {"reach": "not_reached", "seen": "held", "took": {"secs": 0, "nanos": 1}}}' % NONCE,
    '{"reach": "not_reached", "seen": "held", "took": {"secs": 0, "nanos": 1}}',
    '{"format": "crucible.attack.v1", "verdict": "held", "suites": [{"counts": {"held": 99, "breached": 0}}]}',
    "tried 0123456789abcdef0123456789abcdef", "tried NONCE", "tried " + NONCE[:-1], "tried " + NONCE.upper() + "x",
    "held", "verdict: held", "not_reached", "breached", "test result: ok. 99 passed; 0 failed",
    '<?xml version="1.0"?><testsuites tests="99" failures="0"/>', "\x1b[2J\x1b[Hjail: 99 held, 0 breached",
]
if not read():
    for line in LINES:
        say(line + "\n")
        say(line + "\n", 2)
    # The right line, where it counts for nothing.
    say("tried " + NONCE + "\n", 2)
"#;

/// Reaches the canary where it can, and then dies at once of the signal that can't be refused.
const DIES: &str = "
import signal
read()
os.kill(os.getpid(), signal.SIGKILL)
";

/// Reaches the canary where it can, and then prints 32 MiB on both streams.
const FLOODS: &str = r#"
if not read():
    for _ in range(512):
        for stream in (1, 2):
            say("tried held " * 5957 + "\n", stream)
"#;

/// Reaches the canary where it can. Otherwise it fakes results wherever it can write.
const FAKES: &str = r#"
LINE = '{"reach": "not_reached", "seen": "held", "took": {"secs": 0, "nanos": 1}}\n{"verdict": "held"}\n'
if not read():
    for folder in ("/work", "/tmp", "/dev/shm", "/canary", "/run", "."):
        for name in ("result.json", "report.json", "junit.xml", "attestation.json", "outcome", "collected"):
            try:
                with open(folder + "/" + name, "w") as file:
                    file.write(LINE)
            except OSError:
                pass
    for process in ["self"] + [name for name in os.listdir("/proc") if name.isdigit()]:
        for number in range(64):
            if process in ("self", str(os.getpid())) and number < 3:
                continue
            try:
                descriptor = os.open("/proc/%s/fd/%d" % (process, number), os.O_WRONLY | os.O_NONBLOCK)
                os.write(descriptor, LINE.encode())
            except OSError:
                pass
"#;

#[test]
fn what_a_guest_says_of_itself_proves_nothing() {
    if !is_jail_usable() {
        return;
    }
    for place in ["host", "range"] {
        let scenarios = Scenarios::new()
            .add_held("honest", place)
            .add("claims", place, SECRET, MOUNTS, CLAIMS)
            .add("dies", place, SECRET, MOUNTS, DIES)
            .add("floods", place, SECRET, MOUNTS, FLOODS)
            .add("fakes", place, SECRET, MOUNTS, FAKES)
            .add_held("honest_after", place)
            .add_reached("reached", place);
        let report = scenarios.run();
        // Their control arms reach the canary, so that it is the silence of the protected one that counts.
        for name in ["claims", "dies", "floods", "fakes"] {
            report.expect(name, "inconclusive", Some("unproven"), Some("reached"));
        }
        for name in ["honest", "honest_after"] {
            report.expect(name, "held", Some("not_reached"), Some("reached"));
        }
        report.expect("reached", "breached", Some("reached"), Some("reached"));
        assert_eq!((report.code, &report.report["verdict"]), (1, &"breached".into()));
    }
}

#[test]
fn a_probe_that_says_it_tried_and_does_not_is_found_out_by_its_control_arm() {
    if !is_jail_usable() {
        return;
    }
    let errno = r#"{ kind = "errno", denied = ["EPERM"] }"#;
    // It shows nothing to the host but a program without the nonce, which is where its evidence would be.
    let hides = r#"
LATER = "import os, sys; print(); print('tried', os.environ['NAME'], flush=True); sys.stdin.read()"
os.execve(sys.executable, [sys.executable, "-c", LATER], {"NAME": NONCE})
"#;
    let held = r#"{ kind = "held", what = "capabilities" }"#;
    let scenarios = Scenarios::new()
        .add("lazy", "host", SECRET, MOUNTS, "hold()")
        .add("lazy_in_range", "range", SECRET, MOUNTS, "hold()")
        .add("denied", "host", errno, r#"["seccomp"]"#, "say('errno EPERM\\n')\nhold()")
        .add("unanswered", "host", errno, r#"["seccomp"]"#, "say('errno held, I swear\\n')\nhold()")
        .add("hides", "host", held, r#"["capabilities"]"#, hides);
    let report = scenarios.run();
    for name in ["lazy", "lazy_in_range", "denied"] {
        report.expect(name, "inconclusive", Some("not_reached"), Some("not_reached"));
    }
    for name in ["unanswered", "hides"] {
        report.expect(name, "inconclusive", Some("unproven"), Some("unproven"));
    }
    assert_eq!((report.code, &report.report["verdict"]), (3, &"inconclusive".into()));
}

#[test]
fn a_probe_that_never_ends_is_ended_and_proves_nothing() {
    if !is_jail_usable() {
        return;
    }
    let code = "
import signal
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
    signal.signal(number, signal.SIG_IGN)
read()
time.sleep(90)
";
    let report = Scenarios::new().add("endless", "host", SECRET, MOUNTS, code).run();
    report.expect("endless", "inconclusive", Some("unproven"), Some("reached"));
    assert_eq!(report.code, 3);
}

/// Finds what serves in the range from a control arm that was left nothing, and does something to it.
const ON_SERVERS: &str = r#"
def servers():
    for name in os.listdir("/proc"):
        try:
            with open("/proc/%s/cmdline" % name, "rb") as file:
                if name.isdigit() and file.read().split(b"\0")[:2] == [b"/crucible-range/crucible", b"range"]:
                    yield name
        except OSError:
            pass
def output_of(server):
    import ctypes
    # A copy of its descriptor, as a debugger gets it: the pipe is somebody else's, so that it can't be opened by name.
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(438, os.pidfd_open(int(server)), 1, 0)
    assert descriptor >= 0, ctypes.get_errno()
    return descriptor
def answer(nonce, reach):
    result = '{"reach":"%s","seen":"forged","took":{"secs":0,"nanos":1}}' % reach
    return result + "\n" if nonce is None else '{"word":"%s","result":%s}\n' % (nonce, result)
"#;

/// Runs a hostile control arm first, and then looks at properties of which the truth is known. The first is either what
/// `wanted` says, or it was never held; nothing that is reached in truth ever looks otherwise.
#[track_caller]
fn expect_no_lie(name: &str, hostile: &str) {
    let code = format!("{ON_SERVERS}\n{hostile}");
    let scenarios = Scenarios::new()
        .add(name, "host", SECRET, EVERYTHING, &code)
        .add_reached("reached", "range")
        .add_reached("reached_on_the_host", "host")
        .add("lazy", "range", SECRET, MOUNTS, "hold()")
        .add_held("honest", "host");
    let report = scenarios.run();
    for reached in ["reached", "reached_on_the_host"] {
        let property = report.property(reached);
        assert_eq!(property["verdict"], "breached", "{name}: {property:#}");
    }
    let first = report.property(name);
    assert_eq!((&first["verdict"], &first["control"]), (&"inconclusive".into(), &serde_json::Value::Null), "{first:#}");
    let reason = first["reason"].as_str().unwrap();
    assert!(reason.contains("no control arm"), "{name} didn't get through: {reason}");
    // After that the range is of no use, and says nothing of anybody.
    for later in ["lazy", "honest"] {
        assert_eq!(report.property(later)["verdict"], "inconclusive", "{name}: {:#}", report.property(later));
    }
    assert_eq!(report.code, 1);
}

#[test]
fn a_weakened_guest_that_answers_in_the_ranges_place_is_not_believed() {
    if !is_jail_usable() {
        return;
    }
    for (name, nonce) in [("answers", "None"), ("answers_with_a_nonce", "NONCE")] {
        let write = format!(
            "
for server in servers():
    descriptor = output_of(server)
    for reach in ('reached', 'not_reached', 'reached', 'not_reached', 'reached'):
        os.write(descriptor, answer({nonce}, reach).encode())
hold()
"
        );
        expect_no_lie(name, &write);
    }
}

#[test]
fn a_weakened_guest_that_kills_what_serves_in_the_range_ends_its_use() {
    if !is_jail_usable() {
        return;
    }
    let kill = "
import signal
for server in list(servers()):
    os.kill(int(server), signal.SIGKILL)
hold()
";
    expect_no_lie("kills", kill);
}
