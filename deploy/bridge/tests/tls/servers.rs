//! Servers with TLS of a test's own: PostgreSQL, listeners of the run's RabbitMQ, nginx before the
//! simulators of both vendors, and a proxy.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shared::store::Db;

use crate::authority::Authority;

/// Ends with the test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Softly: what it has started ends with it then.
        let _ = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

pub(crate) fn until_it_answers(port: u16, what: &str) {
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what} does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// PostgreSQL refuses root, so it gets a user of its own. Who is called `shown` must show a
/// certificate.
const POSTGRES: &str = r#"
set -e
cd "$1"
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV | head -n 1)
bin=${bin:-$(dirname "$(readlink -f "$(command -v initdb)")")}
as=
if [ "$(id -u)" = 0 ]; then
    user=postgres
    id -u postgres >/dev/null 2>&1 || user=nobody
    mkdir "$1/postgres"
    cp server.pem server.key ca.pem "$1/postgres"
    chown -R "$user" "$1/postgres"
    as="setpriv --reuid=$user --regid=$(id -g "$user") --clear-groups"
else
    mkdir "$1/postgres"
    cp server.pem server.key ca.pem "$1/postgres"
fi
cd "$1/postgres"
chmod 600 server.key
$as "$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-instructions --no-sync >/dev/null
printf 'hostssl all shown 127.0.0.1/32 cert\nhostssl all all 127.0.0.1/32 trust\n' >data/pg_hba.conf
exec $as "$bin/postgres" -D data -p "$2" -h 127.0.0.1 -k '' -c fsync=off -c ssl=on -c ssl_cert_file="$PWD/server.pem" \
    -c ssl_key_file="$PWD/server.key" -c ssl_ca_file="$PWD/ca.pem"
"#;

/// A PostgreSQL whose certificate the authority has signed, and its port.
pub(crate) async fn postgres(authority: &Authority) -> (Running, u16) {
    authority.sign("server");
    let port = free_port();
    let folder = authority.path("");
    let child = Command::new("bash")
        .args(["-c", POSTGRES, "postgres", folder.trim_end_matches('/'), &port.to_string()])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(authority.path("postgres.log")).expect("a log"))
        .spawn()
        .expect("bash");
    let running = Running(child);
    until_it_answers(port, "PostgreSQL");
    let db =
        Db::open_postgres(&format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=require"), 1).expect("a URL");
    let began = Instant::now();
    while let Err(error) = db.exec("CREATE ROLE shown LOGIN SUPERUSER", vec![]).await {
        assert!(began.elapsed() < Duration::from_secs(60), "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    db.close().await;
    (running, port)
}

/// A listener with TLS of the run's RabbitMQ, which ends with the run.
pub(crate) async fn rabbitmq(authority: &Authority, wants_certificate: bool) -> u16 {
    let port = free_port();
    let (certificate, key) = authority.sign(if wants_certificate { "strict" } else { "server" });
    let verify = if wants_certificate { "verify_peer" } else { "verify_none" };
    let options = format!(
        "[{{cacertfile, \"{}\"}}, {{certfile, \"{certificate}\"}}, {{keyfile, \"{key}\"}}, {{verify, {verify}}}, \
         {{fail_if_no_peer_cert, {wants_certificate}}}]",
        authority.ca()
    );
    let start = format!("rabbit_networking:start_ssl_listener({{\"127.0.0.1\", {port}}}, {options}, 2).");
    harness::rabbitmqctl(&["eval", &start]).await;
    until_it_answers(port, "RabbitMQ");
    port
}

/// nginx that speaks TLS on a port for each address behind it.
pub(crate) fn nginx(authority: &Authority, behind: &[&str]) -> (Running, Vec<u16>) {
    let (certificate, key) = authority.sign("server");
    let ports: Vec<u16> = behind.iter().map(|_| free_port()).collect();
    let here = authority.path("");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {here}{kind};\n"))
        .collect();
    let servers: String = ports
        .iter()
        .zip(behind)
        .map(|(port, origin)| {
            format!(
                "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};\n\
                 location / {{ proxy_pass {origin}; }} }}\n"
            )
        })
        .collect();
    let conf = authority.path("nginx.conf");
    let text = format!(
        "daemon off; pid {here}pid; error_log {here}error.log; worker_processes 1;\nevents {{}}\n\
         http {{ access_log off;\n{temporary}{servers}}}\n"
    );
    std::fs::write(&conf, text).expect("written");
    let child = Command::new("nginx")
        .env("PATH", "/usr/sbin:/usr/bin:/bin")
        .args(["-e", &authority.path("error.log"), "-c", &conf])
        .spawn()
        .expect("nginx (Debian: nginx-light) is installed");
    let running = Running(child);
    ports.iter().for_each(|port| until_it_answers(*port, "nginx"));
    (running, ports)
}

/// A proxy for TLS (CONNECT, RFC 9110, 9.3.6), which keeps in mind whom it was asked for.
pub(crate) struct Proxy {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = asked.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let kept = kept.clone();
                std::thread::spawn(move || tunnel(client, &kept));
            }
        });
        Self { url, asked }
    }

    /// Whom it was asked for since the last time, each once.
    pub(crate) fn take(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().expect("not poisoned"));
        asked.sort();
        asked.dedup();
        asked
    }
}

fn tunnel(mut client: TcpStream, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let whom = head.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    asked.lock().ok()?.push(whom.clone());
    let mut server = TcpStream::connect(whom).ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    let (mut back, mut to) = (server.try_clone().ok()?, client.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut back, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut client, &mut server);
    server.shutdown(Shutdown::Write).ok()
}
