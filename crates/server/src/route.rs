//! A route and what it promises: the router and the OpenAPI document are both made from these, so that
//! neither can say what the other does not.

use std::sync::Arc;

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::api::ErrorBody;
use crate::server::Shared;

/// One operation of the API.
pub(crate) struct Route {
    pub(crate) method: Method,
    /// With parameters as `{name}`.
    pub(crate) path: &'static str,
    /// Unique; `camelCase`, as generators of clients like it.
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) query: Option<SchemaOf>,
    pub(crate) body: Option<SchemaOf>,
    pub(crate) answer: Answer,
    /// Of answers that are no success.
    pub(crate) refusal: SchemaOf,
    pub(crate) access: Access,
    pub(crate) handler: MethodRouter<Arc<Shared>>,
}

pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a successful answer holds.
pub(crate) enum Answer {
    Nothing,
    /// JSON of this schema.
    Json(SchemaOf),
    /// JSON of the first schema, or lines of the second as `application/x-ndjson` or `text/csv`.
    JsonOrLines(SchemaOf, SchemaOf),
    /// Server-sent events whose data is JSON of this schema.
    Events(SchemaOf),
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whoever reaches the address, as far as only this machine does.
    Local,
    /// Operators, wherever they are.
    Operators,
}

impl Route {
    pub(crate) fn get<H, T>(path: &'static str, id: &'static str, summary: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        Self::of(Method::GET, path, id, summary, on(MethodFilter::GET, handler))
    }

    pub(crate) fn post<H, T>(path: &'static str, id: &'static str, summary: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        Self::of(Method::POST, path, id, summary, on(MethodFilter::POST, handler))
    }

    pub(crate) fn delete<H, T>(
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        Self::of(Method::DELETE, path, id, summary, on(MethodFilter::DELETE, handler))
    }

    fn of(
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        handler: MethodRouter<Arc<Shared>>,
    ) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            query: None,
            body: None,
            answer: Answer::Nothing,
            refusal: SchemaGenerator::subschema_for::<ErrorBody>,
            access: Access::Local,
            handler,
        }
    }

    /// Its handler asks for [`Asking`](crate::operator::Asking).
    pub(crate) fn of_operators(mut self) -> Self {
        self.access = Access::Operators;
        self
    }

    pub(crate) fn refusal<T: JsonSchema>(mut self) -> Self {
        self.refusal = SchemaGenerator::subschema_for::<T>;
        self
    }

    pub(crate) fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(T::json_schema);
        self
    }

    pub(crate) fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    pub(crate) fn json<T: JsonSchema>(mut self) -> Self {
        self.answer = Answer::Json(SchemaGenerator::subschema_for::<T>);
        self
    }

    pub(crate) fn json_or_lines<T: JsonSchema, L: JsonSchema>(mut self) -> Self {
        self.answer =
            Answer::JsonOrLines(SchemaGenerator::subschema_for::<T>, SchemaGenerator::subschema_for::<L>);
        self
    }

    pub(crate) fn events<T: JsonSchema>(mut self) -> Self {
        self.answer = Answer::Events(SchemaGenerator::subschema_for::<T>);
        self
    }
}
