use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use mathesar::control::ask;
use mathesar::failure::Exit;
use mathesar::supervise::Request;

use crate::harness::{Instance, python};

fn say(instance: &Instance, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(instance.control()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn status_garbage_and_a_second_launcher() {
    let Some(_) = python() else { return };
    let mut instance = Instance::new();
    instance.start();
    let status = instance.status().unwrap();
    assert_eq!(status["address"], format!("http://{}", instance.listen));
    assert_eq!(status["services"]["gunicorn"], "up");
    let mode = std::fs::metadata(instance.control()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    assert_eq!(say(&instance, b"GET / HTTP/1.1\n"), "{\"error\":\"this is no JSON\",\"v\":1}\n");
    assert!(say(&instance, b"{\"v\":9,\"do\":\"stop\"}\n").contains("protocol 9 is not spoken here"));
    assert!(
        say(&instance, &[b'x'; 5000]).contains("one line of at most 4096 bytes")
            || cfg!(not(target_os = "linux"))
    );
    assert_eq!(say(&instance, b""), "");
    say(&instance, &[0, 255, 10]);
    instance.wait_for("running");

    let mut second = instance.spawn();
    assert_eq!(second.wait().unwrap().code(), Some(Exit::Refused as i32));
    let pid = instance.process.as_ref().unwrap().id();
    let said = std::fs::read_to_string(instance.folder.path().join("failure")).unwrap();
    assert!(
        said.contains(&format!("another launcher is at work here: `mathesar run` (pid {pid})")),
        "{said}"
    );

    let stop = ask(&instance.control(), Request::Stop, Duration::from_secs(5)).unwrap();
    assert!(stop.wait_for_end(Duration::from_secs(60)));
    assert_eq!(instance.wait(), Some(0));
    let gone = ask(&instance.control(), Request::Status, Duration::from_secs(5)).unwrap_err();
    assert_eq!(gone.exit, Exit::NotRunning);
}

#[test]
fn another_user_is_refused() {
    let Some(_) = python() else { return };
    if !rustix::process::geteuid().is_root() {
        return println!("not run: only root can become another user");
    }
    let mut instance = Instance::new();
    instance.start();
    // Even where the permissions would let them in.
    for path in [instance.folder.path().to_owned(), instance.control()] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    // It is refused before it has said a word, and may find the connection closed.
    let script = "import socket, sys\n\
                  s = socket.socket(socket.AF_UNIX)\n\
                  s.connect(sys.argv[1])\n\
                  try: s.sendall(b'{\"v\":1,\"do\":\"stop\"}\\n')\n\
                  except BrokenPipeError: pass\n\
                  print(s.recv(999).decode())";
    let output = Command::new("setpriv")
        .args([
            "--reuid",
            "1234",
            "--regid",
            "1234",
            "--clear-groups",
            "/usr/bin/env",
            "python3",
            "-c",
            script,
        ])
        .arg(instance.control())
        .output();
    match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains("only the user that runs Mathesar may ask this"), "{output:?}");
        }
        Err(cause) => return println!("not run: setpriv: {cause}"),
    }
    instance.wait_for("running");
}
