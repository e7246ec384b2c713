//! Named moments of a transaction, at which tests kill everything. Only in builds for development.

/// Waits for ever at this moment, where MATHESAR_STOP_AT names it: for a test that kills whoever waits here.
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    if std::env::var_os("MATHESAR_STOP_AT").is_some_and(|wanted| wanted == name) {
        if let Some(file) = std::env::var_os("MATHESAR_STOPPED") {
            let _ = std::fs::write(file, name);
        }
        loop {
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
