use std::collections::BTreeSet;
use std::fs;

use mathesar::release::Release;

use crate::sample::{SampleRelease, release};

fn names(release: &SampleRelease) -> BTreeSet<String> {
    let file = fs::File::open(&release.tarball).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
}

#[test]
fn a_tarball_is_flat_and_the_same_every_time() {
    let first = release("1.0.0", None);
    assert_eq!(release("1.0.0", None), first);
    let top: BTreeSet<String> =
        names(&first).iter().map(|name| name.split('/').next().unwrap().to_owned()).collect();
    let expected = "README.md bin config db manage.py mathesar pyproject.toml requirements.txt translations";
    assert_eq!(top.into_iter().collect::<Vec<_>>().join(" "), expected);
}

#[test]
fn every_version_is_a_release_of_its_own() {
    let all = [
        release("1.0.0", None),
        release("2.0.0", None),
        release("3.0.0", Some("fails")),
        release("3.0.0", Some("hangs")),
        release("3.0.0", Some("dead")),
    ];
    assert_eq!(all.iter().map(|release| &release.sha256).collect::<BTreeSet<_>>().len(), all.len());
    for sample in &all {
        let parsed = Release::parse(&sample.release_toml).unwrap();
        assert_eq!((&parsed.version, &parsed.sha256), (&sample.version, &sample.sha256));
        assert_eq!(parsed.size, Some(fs::metadata(&sample.tarball).unwrap().len()));
    }
}

#[test]
fn a_manifest_can_be_made_around_it() {
    let sample = release("2.0.0", None);
    let path = sample.manifest();
    let manifest: toml_edit::DocumentMut = fs::read_to_string(&path).unwrap().parse().unwrap();
    assert_eq!(manifest["package"]["version"].as_str(), Some("2.0.0"));
    assert_eq!(manifest["app"]["sha256"].as_str(), Some(sample.sha256.as_str()));
    assert!(manifest["app"]["python"].is_inline_table());
}
