//! Copies of everything: what one is (`archive`, `manifest`), which there are (`catalog`), and which may go (`retention`).

pub mod archive;
pub mod catalog;
pub mod manifest;
pub mod moment;
mod records;
pub mod retention;

#[cfg(test)]
mod tests;
