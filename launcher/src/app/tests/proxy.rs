//! A real proxy (CONNECT) in front of a real TLS server whose authority only `network.ca-file` names.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::super::digest;
use super::super::download::{Wanted, fetch};
use super::environment::with_uv;
use super::{network, said, settings};
use crate::progress::Silent;

/// Every connection goes to one address, whatever was asked for; what was asked for is remembered.
struct Proxy {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn to(server: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heard = Arc::clone(&heard);
                std::thread::spawn(move || relay(stream, server, &heard));
            }
        });
        Proxy { address, asked }
    }

    fn asked(&self) -> String {
        self.asked.lock().unwrap().join("\n")
    }
}

fn relay(mut client: TcpStream, server: u16, heard: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|size| size > 0) {}
    heard.lock().unwrap().push(head);
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)) else {
        let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        return;
    };
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
    let _ = server.write_all(reader.buffer());
    let _ = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Both);
}

/// Serves a folder over TLS under a name of its own.
struct Tls {
    process: Child,
    port: u16,
}

const SERVER: &str = "
import http.server, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('cert.pem', 'key.pem')
server = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
";

impl Tls {
    fn serving(folder: &Path) -> Option<Tls> {
        let openssl = |args: &str| {
            let made = Command::new("openssl")
                .args("req -x509 -newkey rsa:2048 -nodes -days 2".split(' '))
                .args(args.split(' '))
                .current_dir(folder)
                .stderr(Stdio::null())
                .status();
            made.is_ok_and(|status| status.success())
        };
        let made = openssl("-subj /CN=authority -keyout ca.key -out ca.pem")
            && openssl(
                "-subj /CN=release.test -CA ca.pem -CAkey ca.key -addext subjectAltName=DNS:release.test \
                 -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem",
            );
        if !made {
            println!("not run: openssl makes no certificate here");
            return None;
        }
        let mut process = Command::new("python3")
            .args(["-c", SERVER])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap().by_ref()).read_line(&mut line).unwrap();
        Some(Tls { process, port: line.trim().parse().unwrap() })
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn through_a_proxy_to_a_server_of_an_own_authority() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = Tls::serving(folder.path()) else { return };
    fs::write(folder.path().join("file"), "what is wanted").unwrap();
    let (sha256, size) = digest::of_file(&folder.path().join("file")).unwrap();
    let wanted =
        Wanted { name: "file".into(), url: "https://release.test/file".into(), sha256, size: Some(size) };
    let proxy = Proxy::to(server.port);
    let mut network = network();
    network.timeout = std::time::Duration::from_secs(10);
    network.attempts = 1;
    network.proxy = Some(format!("http://name:secret-word@{}", proxy.address));

    let unknown = said(fetch(&wanted, &folder.path().join("one"), &network, &Silent).unwrap_err());
    assert!(unknown.contains("certificate") || unknown.contains("UnknownIssuer"), "{unknown}");
    assert!(!unknown.contains("secret-word"), "{unknown}");

    network.ca_file = Some(folder.path().join("ca.pem"));
    let got = fetch(&wanted, &folder.path().join("two"), &network, &Silent).unwrap();
    assert_eq!(fs::read_to_string(got).unwrap(), "what is wanted");
    let asked = proxy.asked();
    assert!(
        asked.contains("CONNECT release.test:443") && asked.to_lowercase().contains("proxy-authorization"),
        "{asked}"
    );

    // A host that is reached without it: nobody has that name here, and the proxy is not asked.
    let before = proxy.asked().len();
    network.no_proxy = vec!["release.test".to_owned()];
    fetch(&wanted, &folder.path().join("three"), &network, &Silent).unwrap_err();
    assert_eq!(proxy.asked().len(), before);
}

#[test]
fn uv_and_pip_go_through_the_proxy_too() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::to(9);
    let asks = |mut settings: super::Settings, places: crate::app::python::Places| {
        settings.network.proxy = Some(format!("http://{}", proxy.address));
        settings.index_url = Some("https://index.test/simple".to_owned());
        let release = folder.path().join("state/app/one");
        fs::create_dir_all(release.join("tree")).unwrap();
        fs::write(release.join("tree/requirements.txt"), "idna==3.10\n").unwrap();
        let pinned = crate::release::Release::pinned().unwrap().0;
        let pythons = crate::app::environment::Pythons { supported: &pinned.python, places };
        proxy.asked.lock().unwrap().clear();
        crate::app::environment::ensure(&release, &pythons, &settings, &Silent).unwrap_err();
        proxy.asked()
    };
    let places = crate::app::python::Places::of_this_process();
    if let Some(settings) = with_uv(folder.path()) {
        let asked = asks(settings, places.clone());
        assert!(asked.contains("CONNECT index.test:443"), "uv: {asked}");
    }
    let mut without = settings(folder.path());
    without.share = None;
    without.network.offline = false;
    let mut places = places;
    places.path.retain(|folder| !folder.join("uv").is_file());
    // The pinned uv cannot be fetched through this proxy either, and pip is what is left.
    let asked = asks(without, places);
    assert!(asked.matches("CONNECT index.test:443").count() >= 1, "pip: {asked}");
}
