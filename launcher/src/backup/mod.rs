//! Copies of everything: what one is (`archive`, `manifest`), which there are (`catalog`), and which may go (`retention`).

pub mod archive;

pub mod manifest;
pub mod moment;

#[cfg(test)]
mod tests;
