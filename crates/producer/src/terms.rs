//! What a batch's context asks for, checked and bounded by what the operator allows.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use weir_model::{IllegalName, IllegalStreamName, IndexPrefix};
use weir_wire::Context;

use crate::apps::Known;
use crate::section::{Compat, RateSettings, Settings, StreamOptions};
use crate::streams::{Stream, Streams, Wanted};

/// Under which terms a batch is taken.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) stream: Arc<Stream>,
    pub(crate) group: Group,
    pub(crate) rate: Rate,
    pub(crate) wanted: Wanted,
}

/// Whose limit a batch counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// Its app's.
    Alone,
    /// That of all requests with `disable_app_tps`, and what the operator allows the app at most.
    Shared { of_app: Rate },
}

/// Events per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    Unlimited,
    PerSecond(NonZeroU32),
    /// What barito-flow makes of a negative number.
    Nothing,
}

/// A field of the context can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`context.{field}`: {problem}")]
pub(crate) struct ContextError {
    pub(crate) field: &'static str,
    pub(crate) problem: ContextProblem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContextProblem {
    #[error("must not be empty")]
    Missing,
    #[error("must not be negative, is {0}")]
    Negative(i32),
    #[error(transparent)]
    Topic(IllegalStreamName),
    #[error(transparent)]
    IndexPrefix(IllegalName),
}

/// The app in the path can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no name of an app: {problem}")]
pub(crate) struct AppNameError {
    pub(crate) name: String,
    pub(crate) problem: AppNameProblem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppNameProblem {
    #[error("it {0}")]
    Name(IllegalName),
    #[error(transparent)]
    Stream(IllegalStreamName),
}

impl ContextProblem {
    fn of(self, field: &'static str) -> ContextError {
        ContextError { field, problem: self }
    }
}

impl Terms {
    /// The terms of a protobuf or REST batch.
    ///
    /// An index prefix is required, since a record without one can not be filed; every known client of barito-flow
    /// sends it.
    pub(crate) fn of_context(
        context: &Context<'_>,
        known: &Known,
        streams: &Streams,
        settings: &Settings,
    ) -> Result<Self, ContextError> {
        if context.topic.is_empty() {
            return Err(ContextProblem::Missing.of("kafka_topic"));
        }
        let stream = streams
            .find(context.topic)
            .map_err(|illegal| ContextProblem::Topic(illegal).of("kafka_topic"))?;
        match IndexPrefix::new(context.index_prefix) {
            Ok(_) => {}
            Err(IllegalName::Empty) => return Err(ContextProblem::Missing.of("es_index_prefix")),
            Err(illegal) => return Err(ContextProblem::IndexPrefix(illegal).of("es_index_prefix")),
        }
        let rates = Rates { settings: &settings.rates, compat: settings.compat, own: known.max_tps };
        let (group, rate) = match context.disable_app_tps {
            false => (Group::Alone, rates.of_app(context.topic, context.max_tps)?),
            true => {
                let of_app = Rate::lower(None, rates.ceiling(context.topic));
                (Group::Shared { of_app }, rates.of_group(context.app_group_max_tps)?)
            }
        };
        let asked = Asked::of(context, settings);
        Ok(Self {
            stream,
            group,
            rate,
            wanted: Wanted {
                partitions: asked.partitions.or(settings.default_partitions.map(NonZeroU32::get)),
                replicas: asked.replicas,
                owner: streams.owner(context.app_secret),
            },
        })
    }

    /// The terms of a batch through weir's own doors, where the app is all that is known: its name is the topic, and the
    /// index prefix unless the instance says another one.
    pub(crate) fn of_app(
        app: &str,
        known: Known,
        streams: &Streams,
        settings: &Settings,
    ) -> Result<(Self, IndexPrefix), AppNameError> {
        let error = |problem| AppNameError { name: app.to_owned(), problem };
        let own = IndexPrefix::new(app).map_err(|illegal| error(AppNameProblem::Name(illegal)))?;
        let stream = streams.find(app).map_err(|illegal| error(AppNameProblem::Stream(illegal)))?;
        let rates = Rates { settings: &settings.rates, compat: settings.compat, own: known.max_tps };
        let terms = Self {
            stream,
            group: Group::Alone,
            rate: rates.of_app_without_context(app),
            wanted: Wanted {
                partitions: settings.default_partitions.map(NonZeroU32::get),
                replicas: None,
                // An app without a context is its stream.
                owner: streams.owner(Some(app)),
            },
        };
        Ok((terms, known.index_prefix.unwrap_or(own)))
    }

    /// How many events can be taken at once at best; `None` if there is no limit.
    pub(crate) fn burst(&self, window: Duration) -> Option<u64> {
        match self.rate {
            Rate::Unlimited => None,
            Rate::Nothing => Some(0),
            Rate::PerSecond(rate) => Some(u64::from(rate.get()).saturating_mul(window.as_secs())),
        }
    }
}

struct Rates<'a> {
    settings: &'a RateSettings,
    compat: Compat,
    /// What the instance says about the app.
    own: Option<NonZeroU32>,
}

impl Rates<'_> {
    fn of_app(&self, app: &str, asked: i32) -> Result<Rate, ContextError> {
        self.bounded(asked, self.settings.app_default, self.ceiling(app), "app_max_tps")
    }

    fn of_app_without_context(&self, app: &str) -> Rate {
        Rate::lower(self.settings.app_default, self.ceiling(app))
    }

    fn ceiling(&self, app: &str) -> Option<NonZeroU32> {
        self.own.or_else(|| self.settings.app_ceilings.get(app).copied()).or(self.settings.app_ceiling)
    }

    fn of_group(&self, asked: i32) -> Result<Rate, ContextError> {
        let ceiling = self.settings.group_ceiling;
        self.bounded(asked, ceiling, ceiling, "app_group_max_tps")
    }

    fn bounded(
        &self,
        asked: i32,
        default: Option<NonZeroU32>,
        ceiling: Option<NonZeroU32>,
        field: &'static str,
    ) -> Result<Rate, ContextError> {
        match u32::try_from(asked) {
            Ok(asked) => Ok(Rate::lower(NonZeroU32::new(asked).or(default), ceiling)),
            Err(_) if self.compat == Compat::Barito => Ok(Rate::Nothing),
            Err(_) => Err(ContextProblem::Negative(asked).of(field)),
        }
    }
}

impl Rate {
    fn lower(a: Option<NonZeroU32>, b: Option<NonZeroU32>) -> Self {
        a.into_iter().chain(b).min().map_or(Self::Unlimited, Self::PerSecond)
    }
}

/// How a request wants a new stream to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Asked {
    partitions: Option<u32>,
    replicas: Option<u32>,
}

impl Asked {
    fn of(context: &Context<'_>, settings: &Settings) -> Self {
        match settings.stream_options {
            StreamOptions::Settings => Self::default(),
            StreamOptions::Request => Self {
                partitions: positive(context.partitions)
                    .map(|asked| asked.min(settings.max_partitions.get())),
                replicas: positive(context.replication_factor),
            },
        }
    }
}

fn positive(number: i32) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| *number > 0)
}
