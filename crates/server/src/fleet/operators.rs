use axum::Json;
use axum::extract::rejection::JsonRejection;
use http::StatusCode;
use weir_fleet::{CreatedOperator, OperatorName, OperatorView};

use super::{InPath, in_path, life, named, time};
use crate::api;
use crate::failure::Failure;
use crate::operator::Asking;
use crate::route::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/operators", "listOperators", "Who may change anything", list)
            .json::<api::Operators>(),
        Route::post(
            "/api/v1/operators",
            "createOperator",
            "Make an operator; the token is shown this once",
            create,
        )
        .body::<api::NewOperator>()
        .json::<api::CreatedOperator>(),
        Route::delete(
            "/api/v1/operators/{operator}",
            "removeOperator",
            "Refuse the token of an operator from now on",
            remove,
        ),
    ]
}

async fn list(asking: Asking) -> Json<api::Operators> {
    Json(api::Operators { operators: asking.fleet().operators().iter().map(operator).collect() })
}

async fn create(
    asking: Asking,
    body: Result<Json<api::NewOperator>, JsonRejection>,
) -> Result<Json<api::CreatedOperator>, Failure> {
    let Json(api::NewOperator { operator: name, ttl }) = body?;
    let name = named("an operator", &name, OperatorName::new)?;
    let created = asking.fleet().create_operator(&name, life(ttl)?, Some(&asking.by)).await;
    let CreatedOperator { token, expires } = created.map_err(|error| Failure::of_fleet(&error))?;
    let (operator, expires) = (name.to_string(), expires.map(time));
    Ok(Json(api::CreatedOperator { operator, token: (&token).into(), expires }))
}

async fn remove(asking: Asking, name: InPath) -> Result<StatusCode, Failure> {
    let name = in_path("an operator", name, OperatorName::new)?;
    let removed = asking.fleet().remove_operator(&name, &asking.by).await;
    removed.map_err(|error| Failure::of_fleet(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

fn operator(view: &OperatorView) -> api::Operator {
    api::Operator {
        operator: view.name.to_string(),
        made: time(view.made),
        made_by: view.made_by.as_ref().map(ToString::to_string),
        expires: view.expires.map(time),
    }
}
