//! How long work tells what it does: the library prints nothing itself.

/// Someone who wants to know. Called from the thread that works.
pub trait Progress: Send + Sync {
    /// A piece of work begins, as `Fetching mathesar-0.12.0.tar.gz`.
    fn start(&self, what: &str);
    /// So many bytes of it are done; the total where it is known. Called often: draw seldom.
    fn bytes(&self, done: u64, total: Option<u64>);
    /// Something a person ought to read, whatever else is shown.
    fn note(&self, what: &str);
    /// The piece of work ended well.
    fn done(&self, what: &str);
}

/// Nobody wants to know.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _: &str) {}
    fn bytes(&self, _: u64, _: Option<u64>) {}
    fn note(&self, _: &str) {}
    fn done(&self, _: &str) {}
}
