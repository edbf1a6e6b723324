//! A real Mosquitto with dynamic security, and as many users as wanted.

use std::{
    error::Error,
    fs, io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

pub(crate) const PASSWORD: &str = "password";
const PLUGINS: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so",
    "/usr/lib/aarch64-linux-gnu/mosquitto_dynamic_security.so",
    "/usr/lib/mosquitto_dynamic_security.so",
];

/// A process that ends when this is dropped.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Process {
    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(&self.0.id().to_string())
    }
}

/// CPU time of a process, by its number or `self`.
pub(crate) fn cpu_of(process: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|&at| fields.get(at)?.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

pub(crate) struct Broker {
    pub(crate) process: Process,
    pub(crate) port: u16,
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Starts a broker in `dir` that knows `devices` (user names), `sidecar` and `admin`, all with the same password.
pub(crate) fn start(dir: &Path, devices: &[String]) -> Result<Broker, Box<dyn Error>> {
    let users = dir.join("dynsec.json");
    write_users(&users, devices)?;
    let plugin = PLUGINS.iter().find(|path| Path::new(path).exists());
    let plugin = plugin.ok_or("Mosquitto's plugin for dynamic security is not installed")?;
    let port = free_port()?;
    let conf = format!(
        "user root\nlistener {port} 127.0.0.1\nallow_anonymous false\n\
         plugin {plugin}\nplugin_opt_config_file {}\n\
         max_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\npersistence false\n\
         log_dest file {}\nlog_type error\nlog_type warning\nlog_type notice\nlog_type information\n\
         connection_messages true\nlog_timestamp_format %Y-%m-%dT%H:%M:%S%z\n",
        users.display(),
        dir.join("mosquitto.log").display()
    );
    let path = dir.join("mosquitto.conf");
    fs::write(&path, conf)?;
    let mut command = Command::new("mosquitto");
    command.arg("-c").arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let process = Process(command.spawn()?);
    until("mosquitto listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())?;
    Ok(Broker { process, port })
}

/// All users get the password that Mosquitto's own tool has hashed for the administrator.
fn write_users(path: &Path, devices: &[String]) -> Result<(), Box<dyn Error>> {
    let file = path.to_str().ok_or("the folder's name is no text")?;
    let output = Command::new("mosquitto_ctrl").args(["dynsec", "init", file, "admin", PASSWORD]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let mut users: Value = serde_json::from_slice(&fs::read(path)?)?;
    let hashed = users["clients"][0].clone();
    let user = |name: &str, role: &str| {
        let mut user = hashed.clone();
        user["username"] = name.into();
        user["roles"] = json!([{ "rolename": role }]);
        user
    };
    let allow = |kinds: &[&str], topic: &str| -> Vec<Value> {
        kinds.iter().map(|kind| json!({ "acltype": kind, "topic": topic, "allow": true })).collect()
    };
    let role = |name: &str, acls: Vec<Value>| json!({ "rolename": name, "acls": acls });
    let all = ["publishClientSend", "publishClientReceive", "subscribePattern"];
    let list = |value: &mut Value, more: Vec<Value>| value.as_array_mut().map(|list| list.extend(more));
    list(
        &mut users["roles"],
        vec![
            role("device", allow(&["publishClientSend"], "$aws/things/#")),
            role("sidecar", allow(&all, "$aws/things/#")),
        ],
    );
    let mut more = vec![user("sidecar", "sidecar")];
    more.extend(devices.iter().map(|name| user(name, "device")));
    list(&mut users["clients"], more);
    fs::write(path, serde_json::to_vec(&users)?)?;
    Ok(())
}

/// Waits until `ready`, for five minutes at most.
pub(crate) fn until(what: &str, mut ready: impl FnMut() -> bool) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + Duration::from_secs(300);
    while !ready() {
        if Instant::now() > deadline {
            return Err(format!("waited in vain until {what}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
