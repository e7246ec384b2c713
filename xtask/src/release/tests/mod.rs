//! Whole releases to stand-ins for every channel: a GitHub that fails as the real one does, real repositories behind a web server, real git.

mod faults;
mod foreign;
mod kills;
mod refused;
mod stand_in;
mod world;
mod yanked;

/// Not a test: with these stand-ins the commands can be tried by hand, until it is killed.
#[test]
#[ignore = "serves for ever"]
fn serve() {
    let Some(folder) = std::env::var_os("RELEASE_STAND_IN").map(std::path::PathBuf::from) else { return };
    let server = stand_in::StandIn::start(&folder);
    let commits = std::env::var("RELEASE_COMMITS").unwrap_or_default();
    server.change(|state| state["commits"] = commits.split(',').collect());
    println!("{} with GITHUB_TOKEN={}, and {}/packages", server.url, stand_in::TOKEN, folder.display());
    loop {
        std::thread::park();
    }
}
