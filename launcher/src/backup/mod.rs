//! Copies of everything: how one is made (`create`, `logical`) and drilled (`drill`), what one is (`archive`, `manifest`), which there
//! are (`catalog`), and which may go (`retention`).

pub mod archive;
pub mod base;
pub mod catalog;
pub mod checks;
mod copies;
pub mod create;
pub mod drill;
pub mod dumps;
mod listing;
pub mod logical;
pub mod manifest;
pub mod moment;
pub mod origin;
mod parts;
pub mod place;
mod records;
pub mod retention;
pub mod room;
pub mod sound;
pub mod staging;
pub mod unlogged;

#[cfg(test)]
mod tests;
