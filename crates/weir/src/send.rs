//! Sending files and standard input to `/api/v1/apps/<app>/events`.

mod batch;
mod deliver;
mod flow;
mod progress;
mod source;
mod upload;

pub(crate) use self::batch::Limits;
pub(crate) use self::source::Source;
pub(crate) use self::upload::{Again, BadText, Job, NDJSON, Report, Sender};
