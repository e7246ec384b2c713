//! The tarball and GitHub's word on it, by curl: it resumes, retries, shows progress and knows the machine's proxies.

use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::evidence::Reported;
use super::{argument, tarball};
use crate::ui;

/// The file that was named, or the fetched one.
pub(super) fn obtain(
    from: Option<&Path>,
    folder: &Path,
    version: &str,
    url: &str,
    expected: Option<&str>,
    offline: bool,
) -> Result<PathBuf> {
    if let Some(file) = from {
        return Ok(file.to_owned());
    }
    let file = folder.join(format!("mathesar-{version}.tar.gz"));
    if file.is_file() {
        let is_wanted = match expected {
            Some(expected) => tarball::measure(&file)?.0 == expected,
            None => offline,
        };
        if is_wanted {
            ui::verb("Reusing", file.display());
            return Ok(file);
        }
    }
    if offline {
        bail!(
            "no tarball of {version} at {}\nhelp: cargo xtask pin {version} --offline --from FILE",
            file.display()
        );
    }
    ui::verb("Fetching", url);
    let part = folder.join(format!("mathesar-{version}.tar.gz.part"));
    let mut status = curl(&download_arguments(url, &part, std::io::stderr().is_terminal()))?;
    // 33 and 36: what is there cannot be continued, as when the server's file is another one by now.
    if matches!(status, Some(33 | 36)) || (status == Some(22) && part.exists()) {
        fs::remove_file(&part).with_context(|| format!("cannot remove {}", part.display()))?;
        status = curl(&download_arguments(url, &part, std::io::stderr().is_terminal()))?;
    }
    match status {
        Some(0) => {}
        Some(63) => bail!("{url} is larger than {} bytes: no release of Mathesar", tarball::MAX_PACKED),
        Some(22) => {
            bail!("{url} is not there\nhelp: https://github.com/mathesar-foundation/mathesar/releases")
        }
        code => bail!(
            "cannot fetch {url}: curl ended with {}\n\
             help: run it again to go on where it stopped, or fetch it elsewhere and `cargo xtask pin {version} --from FILE`",
            code.map_or("a signal".to_owned(), |code| format!("exit code {code}"))
        ),
    }
    fs::rename(&part, &file)
        .with_context(|| format!("cannot rename {} to {}", part.display(), file.display()))?;
    // A server may ignore --max-filesize's question when it tells no length.
    tarball::measure(&file)?;
    Ok(file)
}

/// The digest that GitHub's API reports for the asset; every obstacle is an answer.
pub(super) fn reported(url: &str, version: &str) -> Reported {
    let Some((api, asset)) = api_address(url, version) else {
        return Reported::Unknown(format!("{url} is no release asset of GitHub"));
    };
    let output = Command::new("curl").args(api_arguments(&api)).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => digest_of(&output.stdout, &asset),
        Ok(output) => Reported::Unknown(format!(
            "cannot ask {api}: {}",
            String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("curl said nothing")
        )),
        Err(error) => Reported::Unknown(format!("cannot run curl: {error}")),
    }
}

/// The API's address for `https://github.com/<owner>/<name>/releases/download/<version>/<asset>`, and the asset's name.
fn api_address(url: &str, version: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = url.strip_prefix("https://github.com/")?.split('/').collect();
    match parts[..] {
        [owner, name, "releases", "download", tag, asset] if tag == version => Some((
            format!("https://api.github.com/repos/{owner}/{name}/releases/tags/{tag}"),
            asset.to_owned(),
        )),
        _ => None,
    }
}

fn digest_of(answer: &[u8], asset: &str) -> Reported {
    let Ok(answer) = serde_json::from_slice::<serde_json::Value>(answer) else {
        return Reported::Unknown("its answer is no JSON".into());
    };
    let assets = answer["assets"].as_array();
    let found = assets.and_then(|assets| assets.iter().find(|found| found["name"] == asset));
    match found.and_then(|found| found["digest"].as_str()).and_then(|digest| digest.strip_prefix("sha256:")) {
        Some(digest) => Reported::Digest(digest.to_owned()),
        None => Reported::Unknown(format!("it reports none for {asset}")),
    }
}

const HTTPS_ONLY: [&str; 7] =
    ["--fail", "--location", "--proto", "=https", "--proto-redir", "=https", "--tlsv1.2"];

fn download_arguments(url: &str, part: &Path, is_terminal: bool) -> Vec<String> {
    let mut arguments: Vec<String> = HTTPS_ONLY.map(str::to_owned).into();
    arguments.extend(
        match is_terminal {
            true => &["--progress-bar"][..],
            false => &["--silent", "--show-error"][..],
        }
        .iter()
        .map(|&argument| argument.to_owned()),
    );
    arguments.extend(
        "--connect-timeout 20 --speed-limit 1024 --speed-time 60 --retry 5 --retry-max-time 600 --continue-at -"
            .split(' ')
            .map(str::to_owned),
    );
    arguments.extend(["--max-filesize".to_owned(), tarball::MAX_PACKED.to_string()]);
    arguments.extend(["--output".to_owned(), argument(part), "--".to_owned(), url.to_owned()]);
    arguments
}

fn api_arguments(url: &str) -> Vec<String> {
    let mut arguments: Vec<String> = HTTPS_ONLY.map(str::to_owned).into();
    arguments.extend(
        "--silent --show-error --connect-timeout 10 --max-time 30 --max-filesize 4194304 --header"
            .split(' ')
            .map(str::to_owned),
    );
    arguments.extend(["Accept: application/vnd.github+json".to_owned(), "--".to_owned(), url.to_owned()]);
    arguments
}

/// Runs curl, its progress on our standard error; its exit code.
fn curl(arguments: &[String]) -> Result<Option<i32>> {
    let status = Command::new("curl")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("cannot run curl\nhelp: install curl, or name the tarball with --from FILE")?;
    Ok(status.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curl_may_speak_https_only() {
        let arguments = download_arguments("https://example.org/a", Path::new("t/a.part"), false);
        insta::assert_snapshot!(arguments.join(" "), @"--fail --location --proto =https --proto-redir =https --tlsv1.2 --silent --show-error --connect-timeout 20 --speed-limit 1024 --speed-time 60 --retry 5 --retry-max-time 600 --continue-at - --max-filesize 268435456 --output t/a.part -- https://example.org/a");
    }

    #[test]
    fn plain_http_is_refused_by_curl_itself() {
        if Command::new("curl").arg("--version").output().is_err() {
            eprintln!("not run: no curl");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let error =
            obtain(None, folder.path(), "1.0.0", "http://127.0.0.1:9/m.tar.gz", None, false).unwrap_err();
        assert!(error.to_string().contains("exit code 1\n"), "{error}");
        assert!(obtain(None, folder.path(), "1.0.0", "https://127.0.0.1:9/m", None, true).is_err());
    }

    #[test]
    fn the_api_is_read() {
        let url = "https://github.com/o/n/releases/download/1.0.0/m.tar.gz";
        let (api, asset) = api_address(url, "1.0.0").unwrap();
        assert_eq!(api, "https://api.github.com/repos/o/n/releases/tags/1.0.0");
        assert_eq!(api_address(url, "1.0.1"), None);
        assert_eq!(api_address("https://example.org/1.0.0/m.tar.gz", "1.0.0"), None);
        let answer =
            br#"{"assets":[{"name":"x","digest":"sha256:bb"},{"name":"m.tar.gz","digest":"sha256:aa"}]}"#;
        assert_eq!(digest_of(answer, &asset), Reported::Digest("aa".into()));
        assert!(matches!(digest_of(answer, "y"), Reported::Unknown(_)));
        assert!(matches!(digest_of(b"<html>", &asset), Reported::Unknown(_)));
    }
}
