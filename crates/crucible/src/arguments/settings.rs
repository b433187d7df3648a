//! Flags that override settings of the configuration.

use clap::Args;
use crucible::compose::Unsafe;
use crucible::config::{Override, Overrides};
use crucible_core::{ByteSize, CpuCount, NetworkPolicy, TimeSpan};

/// Flags that override settings.
#[derive(Args, Debug)]
pub(crate) struct SettingFlags {
    /// What keeps the program apart: auto, jail, docker, gvisor, or subprocess (which needs --unsafe)
    #[arg(short, long, value_name = "NAME", help_heading = "Isolation")]
    backend: Option<String>,
    /// What protects the run and what is let in: default, strict, research, inspect, unisolated, or a file
    #[arg(long, value_name = "NAME|FILE", help_heading = "Isolation")]
    policy: Option<String>,
    /// Limits and settings under one name, from the configuration or a file
    #[arg(long, value_name = "NAME|FILE", help_heading = "Isolation")]
    preset: Option<String>,
    /// The network inside: none, not even loopback; or allow:HOST:PORT,... for a proxy to these alone [default: the policy's]
    #[arg(long, value_name = "NETWORK", help_heading = "Isolation")]
    network: Option<NetworkPolicy>,
    /// Admit the subprocess backend, which isolates nothing
    #[arg(long = "unsafe", help_heading = "Isolation")]
    admit_unsafe: bool,
    /// Wall-clock time: 500ms, 10s, 1m30s
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "Limits")]
    timeout: Option<TimeSpan>,
    /// Processor time of all processes together
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "Limits")]
    cpu_time: Option<TimeSpan>,
    /// Processors at once: 1, 0.5
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, help_heading = "Limits")]
    cpus: Option<CpuCount>,
    /// Memory of all processes together: 256MiB, 1.5GiB
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, help_heading = "Limits")]
    memory: Option<ByteSize>,
    /// Processes and threads at one time
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, help_heading = "Limits")]
    pids: Option<u32>,
    /// Bytes written to all files together
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, help_heading = "Limits")]
    disk: Option<ByteSize>,
    /// Files, folders and links together
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, help_heading = "Limits")]
    inodes: Option<u64>,
    /// Open descriptors of one process
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, help_heading = "Limits")]
    open_files: Option<u32>,
    /// Size of one file
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, help_heading = "Limits")]
    file_size: Option<ByteSize>,
    /// Bytes on standard output, and as many on standard error
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, help_heading = "Limits")]
    output: Option<ByteSize>,
    /// Stack of the main thread
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, help_heading = "Limits")]
    stack: Option<ByteSize>,
}

impl SettingFlags {
    /// What was asked for, as settings.
    pub(crate) fn overrides(&self) -> Overrides {
        let mut settings = Vec::new();
        let mut add = |key, flag, value: Option<String>| {
            settings.extend(value.map(|value| Override { key, value, flag }));
        };
        add("run.backend", "--backend", self.backend.clone());
        add("run.policy", "--policy", self.policy.clone());
        add("run.network", "--network", self.network.as_ref().map(NetworkPolicy::to_string));
        add("limits.timeout", "--timeout", self.timeout.map(|value| value.to_string()));
        add("limits.cpu_time", "--cpu-time", self.cpu_time.map(|value| value.to_string()));
        add("limits.cpus", "--cpus", self.cpus.map(|value| value.to_string()));
        add("limits.memory", "--memory", self.memory.map(|value| value.to_string()));
        add("limits.pids", "--pids", self.pids.map(|value| value.to_string()));
        add("limits.disk", "--disk", self.disk.map(|value| value.to_string()));
        add("limits.inodes", "--inodes", self.inodes.map(|value| value.to_string()));
        add("limits.open_files", "--open-files", self.open_files.map(|value| value.to_string()));
        add("limits.file_size", "--file-size", self.file_size.map(|value| value.to_string()));
        add("limits.output", "--output", self.output.map(|value| value.to_string()));
        add("limits.stack", "--stack", self.stack.map(|value| value.to_string()));
        Overrides { preset: self.preset.clone(), settings }
    }

    /// The wall-clock time that was asked for, if one was.
    pub(crate) const fn timeout(&self) -> Option<TimeSpan> {
        self.timeout
    }

    /// Whether the backend that isolates nothing is admitted.
    pub(crate) const fn unsafe_backends(&self) -> Unsafe {
        if self.admit_unsafe { Unsafe::Admitted } else { Unsafe::Refused }
    }
}
