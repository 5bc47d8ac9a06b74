//! Settings: a YAML file, overruled by the environment, overruled by flags. Weaker than all of them are
//! [`Preset`]s, the defaults that go with the value of another setting.
//!
//! # For the author of a component
//!
//! A section has two types. The raw one mirrors the text: every field optional, unknown ones refused, a doc
//! comment per field that says meaning, unit and default (the first backticked text after `Default:` is shown by
//! `weir check --explain`). The validated one is what the component works with. One pure function lies between:
//!
//! ```
//! # use std::time::Duration;
//! # use serde::Deserialize;
//! # use schemars::JsonSchema;
//! # use weir_foundation::settings::{DurationText, Problem, Problems, SizeText};
//! /// Where accepted events are kept.
//! #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields, default)]
//! pub struct ExampleSection {
//!     /// A file that has grown to this size is closed. Default: `1GiB`.
//!     pub roll_at: Option<SizeText>,
//!     /// How long events are kept. Default: `7d`.
//!     pub keep: Option<DurationText>,
//! }
//!
//! pub struct ExampleSettings { roll_at: u64, keep: Duration }
//!
//! pub fn validate(raw: &ExampleSection) -> Result<ExampleSettings, Problems> {
//!     let mut problems = Problems::default();
//!     let roll_at = raw.roll_at.map_or(1 << 30, SizeText::bytes);
//!     if roll_at < 1 << 20 {
//!         problems.push(Problem::at("roll_at", "must be at least `1MiB`"));
//!     }
//!     let keep = raw.keep.map_or(Duration::from_secs(7 * 86_400), DurationText::duration);
//!     problems.or(ExampleSettings { roll_at, keep })
//! }
//! ```
//!
//! Paths in the problems are relative to the section. [`documented_defaults`] lets a test hold the documented
//! defaults against the real ones.
//!
//! # For the binary
//!
//! [`load`] reads all layers and reports every problem of the text at once; [`Loaded::section`] takes the outcome
//! of a section's validation, adds the path of the section and where each value came from; [`Loaded::explain`],
//! [`reference_page`] and [`json_schema`] print.

pub mod env;
mod explain;
mod interpolate;
mod layers;
mod load;
mod origin;
mod presets;
mod problem;
mod reference;
mod secret;
mod shape;
mod text;
mod tree;
mod unknown;
mod yaml;

pub use self::env::{Alias, Environment};
pub use self::explain::Explained;
pub use self::layers::FlagValue;
pub use self::load::{Loaded, Sources, WrongAliases, documented_defaults, load, load_text};
pub use self::origin::Origin;
pub use self::presets::{Implied, Preset};
pub use self::problem::{Problem, Problems};
pub use self::reference::{json_schema, reference_page};
pub use self::secret::Secret;
pub use self::text::{DurationText, SizeText, TextError};
