use std::fs;
use std::path::PathBuf;

use super::server::{Answer, Server};
use super::{Told, network, said, settings};
use crate::app::digest;
use crate::app::download::{Wanted, fetch};
use crate::app::lookup::{self, Whence};
use crate::app::network::Network;
use crate::failure::Failure;
use crate::progress::Silent;

fn body() -> Vec<u8> {
    (0..300_000u32).flat_map(|number| number.to_le_bytes()).collect()
}

fn wanted(url: &str, size: Option<u64>) -> Wanted {
    Wanted { name: "a.tar.gz".to_owned(), url: url.to_owned(), sha256: digest::of_bytes(&body()), size }
}

/// The file's bytes (or what was said), the ranges that were asked for, and what is left in the folder.
fn run(answers: Vec<Answer>, size: Option<u64>) -> (Result<Vec<u8>, String>, Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(body(), answers);
    let wanted = wanted(&format!("{}/a", server.address), size);
    let result = fetch(&wanted, folder.path(), &network(), &Silent);
    let result = result
        .map(|path| fs::read(path).unwrap())
        .map_err(|failure| said(failure).replace(&server.address, "URL"));
    let left =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    (result, server.ranges(), left.collect())
}

fn whole(answers: Vec<Answer>, size: Option<u64>) -> Vec<String> {
    let (result, ranges, left) = run(answers, size);
    assert!(result.unwrap() == body());
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].ends_with("-a.tar.gz"), "{left:?}");
    ranges
}

const SIZE: Option<u64> = Some(1_200_000);

#[test]
fn a_file_comes_whole() {
    assert_eq!(whole(vec![Answer::Whole], SIZE), [""]);
    assert_eq!(whole(vec![Answer::Whole], None), [""]);
    assert_eq!(whole(vec![Answer::Slow(200_000)], SIZE), [""]);
}

#[test]
fn a_transfer_that_breaks_off_is_resumed() {
    assert_eq!(whole(vec![Answer::Cut(500_000), Answer::Whole], SIZE), ["", "bytes=500000-"]);
    assert_eq!(whole(vec![Answer::Stall(500_000), Answer::Whole], None), ["", "bytes=500000-"]);
    // More often than there are attempts, as long as something comes.
    assert_eq!(whole(vec![Answer::Cut(300_000)], SIZE).len(), 4);
}

#[test]
fn a_server_that_cannot_resume_begins_again() {
    assert_eq!(whole(vec![Answer::Cut(500_000), Answer::IgnoresRange], SIZE), ["", "bytes=500000-"]);
    assert_eq!(
        whole(vec![Answer::Cut(500_000), Answer::WrongRange, Answer::Whole], SIZE),
        ["", "bytes=500000-", ""]
    );
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_is_not() {
    assert_eq!(whole(vec![Answer::Status(500), Answer::Status(503), Answer::Whole], SIZE).len(), 3);
    let (result, ranges, _) = run(vec![Answer::Status(404)], SIZE);
    assert_eq!(ranges.len(), 1);
    assert_eq!(
        result.unwrap_err(),
        "exit 1\nerror: cannot fetch URL/a\n  caused by: the server answered 404\n"
    );
    let (result, ranges, _) = run(vec![Answer::Status(500)], SIZE);
    assert_eq!(ranges.len(), 3);
    assert!(
        result.unwrap_err().contains("caused by: the server answered 500\nhelp: run the same command again")
    );
}

#[test]
fn another_file_is_refused_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let other = vec![b'x'; 1_200_000];
    let server = Server::new(other.clone(), vec![Answer::Whole]);
    let url = format!("{}/a", server.address);
    let failure = fetch(&wanted(&url, SIZE), folder.path(), &network(), &Silent).unwrap_err();
    assert_eq!(
        said(failure),
        format!(
            "exit 4\nerror: {url} is not the file that was pinned, and is not used\n  caused by: its SHA-256 is {}, expected {}\n",
            digest::of_bytes(&other),
            digest::of_bytes(&body())
        )
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_of_another_length_is_refused() {
    let (result, _, left) = run(vec![Answer::Longer(1)], SIZE);
    assert!(result.unwrap_err().contains("caused by: it is 1200001 bytes long, expected 1200000"));
    assert!(left.is_empty(), "{left:?}");
    let (result, _, _) = run(vec![Answer::Longer(5), Answer::Longer(5), Answer::Longer(5)], None);
    assert!(result.is_ok(), "a part that was complete already is seen to be");
}

#[test]
fn what_an_earlier_run_left_is_used_or_thrown_away() {
    for (left, ranges) in [
        (body()[..700_000].to_vec(), vec!["bytes=700000-"]),
        (body(), vec![]),
        // Damaged: seen at the end, and then fetched anew.
        (vec![b'x'; 700_000], vec!["bytes=700000-", ""]),
        (vec![b'x'; 1_300_000], vec![""]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::new(body(), vec![Answer::Whole]);
        let wanted = wanted(&format!("{}/a", server.address), SIZE);
        fs::write(folder.path().join(format!("{}.partial", wanted.cached_name())), left).unwrap();
        let path = fetch(&wanted, folder.path(), &network(), &Silent).unwrap();
        assert!(fs::read(path).unwrap() == body());
        assert_eq!(server.ranges(), ranges);
    }
}

#[test]
fn a_server_that_only_drips_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(body(), vec![Answer::Slow(1)]);
    let wanted = wanted(&format!("{}/a", server.address), SIZE);
    let network = Network { least: (1000, std::time::Duration::from_millis(200)), ..network() };
    let text = said(fetch(&wanted, folder.path(), &network, &Silent).unwrap_err());
    assert!(text.contains("caused by: the server sent less than 1 kB in 0.20 s"), "{text}");
    assert_eq!(server.ranges().len(), 3, "it goes on where it stopped: {:?}", server.ranges());
}

#[test]
fn two_at_once_fetch_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(body(), vec![Answer::Slow(100_000)]);
    let wanted = wanted(&format!("{}/a", server.address), SIZE);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| fetch(&wanted, folder.path(), &network(), &Silent).unwrap());
        }
    });
    assert_eq!(server.ranges().len(), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn plain_http_is_for_this_machine_alone() {
    let folder = tempfile::tempdir().unwrap();
    let failure = fetch(&wanted("http://192.0.2.1/a", SIZE), folder.path(), &network(), &Silent).unwrap_err();
    assert_eq!(said(failure), "exit 4\nerror: http://192.0.2.1/a is refused: only https is fetched\n");
    // A loopback server that sends elsewhere is not followed there: 192.0.2.1 would answer nobody.
    let server = Server::new(body(), vec![Answer::Redirect("http://192.0.2.1/a".to_owned())]);
    let wanted = wanted(&format!("{}/a", server.address), SIZE);
    let text = said(fetch(&wanted, folder.path(), &network(), &Silent).unwrap_err());
    assert!(text.contains("the server answered 302"), "{text}");
}

#[test]
fn a_full_disk_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
        .arg(folder.path())
        .output();
    if !mounted.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("not run: no tmpfs can be mounted here ({mounted:?})");
        return;
    }
    let server = Server::new(body(), vec![Answer::Whole]);
    let result = fetch(&wanted(&format!("{}/a", server.address), SIZE), folder.path(), &network(), &Silent);
    assert!(std::process::Command::new("umount").arg(folder.path()).status().unwrap().success());
    let text = said(result.unwrap_err());
    assert!(text.contains("caused by: No space left on device"), "{text}");
    assert!(text.contains("help: look for room: `df -h"), "{text}");
    assert_eq!(server.ranges().len(), 1, "it is not tried again");
}

#[test]
fn certificates_are_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, "nothing").unwrap();
    let mut network = network();
    network.ca_file = Some(file);
    let failure =
        fetch(&wanted("https://127.0.0.1:9/a", SIZE), folder.path(), &network, &Silent).unwrap_err();
    assert!(said(failure).contains("ca.pem holds no certificate in PEM form"));
}

fn find(folder: &std::path::Path, offline: bool, told: &Told) -> Result<(PathBuf, Whence), Failure> {
    let mut settings = settings(folder);
    settings.network.offline = offline;
    let from = folder.join("upstream");
    fs::write(&from, body()).unwrap();
    let wanted = wanted(&format!("file://{}", from.display()), SIZE);
    lookup::find(&wanted, "app", &settings, told).map(|found| (found.path, found.whence))
}

#[test]
fn the_launchers_own_folder_and_the_cache_come_before_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let told = Told::default();
    let text =
        said(find(folder.path(), true, &told).unwrap_err()).replace(&*folder.path().to_string_lossy(), "DIR");
    insta::assert_snapshot!(text);
    assert_eq!(find(folder.path(), false, &told).unwrap().1, Whence::Network);
    assert_eq!(find(folder.path(), true, &told).unwrap().1, Whence::Cache);
    fs::create_dir_all(folder.path().join("share/app")).unwrap();
    fs::write(folder.path().join("share/app/a.tar.gz"), "another").unwrap();
    assert_eq!(find(folder.path(), true, &told).unwrap().1, Whence::Cache);
    assert!(told.all().contains("share/app/a.tar.gz is not used: its SHA-256 is "), "{}", told.all());
    fs::write(folder.path().join("share/app/a.tar.gz"), body()).unwrap();
    assert_eq!(find(folder.path(), true, &told).unwrap().1, Whence::Beside);
}

/// uv and pip take one file: without the system's authorities in it, nothing but the proxy could be reached.
#[test]
fn authorities_of_a_setting_come_to_the_systems() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.pem");
    std::fs::write(&own, "OWN AUTHORITY\n").unwrap();
    let network = super::super::network::Network { ca_file: Some(own.clone()), ..Default::default() };
    let variables = network.variables(folder.path()).unwrap();
    let (_, file) = variables.iter().find(|(name, _)| name == "PIP_CERT").unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains("OWN AUTHORITY"));
    let system = std::path::Path::new("/etc/ssl/certs/ca-certificates.crt");
    match std::fs::read_to_string(system) {
        Ok(system) => assert!(text.contains(system.trim_end()) && *file != own.to_string_lossy()),
        Err(_) => println!("not run: this machine has no {}", system.display()),
    }
}
