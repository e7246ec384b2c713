//! mathesar.conf: its settings, and everything that is made from them.

mod document;
mod edit;
mod kind;
mod load;
mod mask;
mod misplaced;
mod problem;
mod read;
mod reference;
mod semantic;
mod setting;
#[rustfmt::skip]
mod settings;
mod suggest;
mod text;
mod variables;
mod write;

pub use edit::{Edit, edit};
pub use kind::{Kind, Value};
pub(crate) use load::load_with;
pub use load::{Config, Loaded, Origin, Outside, load, load_files};
pub(crate) use load::{from_text, wrong_value};
pub(crate) use misplaced::{media as misplaced_media, misplaced};
pub use problem::{Problem, Severity, render_all};
pub use read::files;
pub use reference::{man as reference_man, markdown as reference_markdown};
pub(crate) use semantic::{missing_files, unfit_here};
pub use setting::{Effect, Setting};
pub use settings::{SECTIONS, SETTINGS, Section};
pub(crate) use suggest::setting as suggestion;
pub use text::without_password;
pub(crate) use text::{duration, size};
pub(crate) use variables::refusal;
pub(crate) use write::write;

/// What `config init` writes, and what the packages install.
pub const TEMPLATE: &str = include_str!("../../../packaging/files/mathesar.conf");
