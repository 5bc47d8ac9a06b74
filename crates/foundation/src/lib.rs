//! Process life: settings, supervision and drain, health, clock, retry, telemetry.
//!
//! Knows neither telemetry data nor the roles of weir.

pub mod clock;
