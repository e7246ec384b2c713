//! Which channels are built.

use anyhow::{Result, bail};

use super::ChannelName;
use crate::channel::{self, Channel};
use crate::tools::Tools;

/// The channels to build, each after those it needs, and those that this machine cannot build with the reason.
pub(super) type Selected = (Vec<&'static Channel>, Vec<(&'static str, String)>);

pub(super) fn selected(named: &[ChannelName], tools: &Tools) -> Result<Selected> {
    let mut channels: Vec<&'static Channel> = Vec::new();
    let mut left_out = Vec::new();
    for channel in channel::ALL {
        let asked = (named.is_empty() && !channel.by_name)
            || named.iter().any(|name| name.channel().name == channel.name);
        let needed = named.iter().any(|name| name.channel().needs.contains(&channel.name));
        if !asked && !needed {
            continue;
        }
        match (channel.unavailable)(tools) {
            None => channels.push(channel),
            Some(why) if named.is_empty() => left_out.push((channel.name, why)),
            Some(why) => bail!("cannot build {}: {why}", channel.name),
        }
    }
    Ok((channels, left_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_its_time_is_built_where_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let tools = Tools { folder: folder.path().join("tools") };
        let (usual, _) = selected(&[], &tools).unwrap();
        assert!(usual.iter().all(|channel| channel.name != "bundle"));
        match selected(&[ChannelName::Bundle], &tools) {
            Ok((named, _)) => {
                let names: Vec<&str> = named.iter().map(|channel| channel.name).collect();
                assert_eq!(names, ["tarball", "flatpak", "bundle"]);
            }
            Err(error) => assert!(error.to_string().starts_with("cannot build bundle: flatpak"), "{error}"),
        }
    }
}
