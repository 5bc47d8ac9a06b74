use axum::Json;
use axum::extract::rejection::JsonRejection;
use weir_auth::pki::Certificate;
use weir_fleet::{
    CertifiedServer, Finish, Fleet, InstanceView, Missing, MissingReason, RotationError, RotationStage,
    RotationStatus, ServerRequest,
};

use super::{count, life, time};
use crate::api;
use crate::failure::Failure;
use crate::operator::Asking;
use crate::route::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/api/v1/pki",
            "getPki",
            "The roots and keys of the instance, and where their change is",
            status,
        )
        .json::<api::Pki>(),
        Route::post(
            "/api/v1/pki/rotation/begin",
            "beginRotation",
            "Give everybody a new root beside the old one",
            begin,
        )
        .json::<api::Pki>(),
        Route::post(
            "/api/v1/pki/rotation/switch",
            "switchRotation",
            "Issue certificates of agents below the new root",
            switch,
        )
        .json::<api::Pki>(),
        Route::post(
            "/api/v1/pki/rotation/finish",
            "finishRotation",
            "Give the old root up; refused while an agent or an access key knows nothing else",
            finish,
        )
        .body::<api::FinishRotation>()
        .json::<api::Pki>(),
        Route::post(
            "/api/v1/pki/certificates",
            "certifyServer",
            "Issue a certificate for a proxy that ends TLS in front of the doors of agents",
            certify,
        )
        .body::<api::CertifyServer>()
        .json::<api::CertifiedServer>(),
    ]
}

async fn status(asking: Asking) -> Json<api::Pki> {
    Json(pki(asking.fleet()))
}

async fn begin(asking: Asking) -> Result<Json<api::Pki>, Failure> {
    step(&asking, asking.fleet().begin_rotation(&asking.by).await)
}

async fn switch(asking: Asking) -> Result<Json<api::Pki>, Failure> {
    step(&asking, asking.fleet().switch_rotation(&asking.by).await)
}

async fn finish(
    asking: Asking,
    body: Result<Json<api::FinishRotation>, JsonRejection>,
) -> Result<Json<api::Pki>, Failure> {
    let Json(api::FinishRotation { force }) = body?;
    let how = if force { Finish::Force } else { Finish::WhenReady };
    step(&asking, asking.fleet().finish_rotation(how, &asking.by).await)
}

async fn certify(
    asking: Asking,
    body: Result<Json<api::CertifyServer>, JsonRejection>,
) -> Result<Json<api::CertifiedServer>, Failure> {
    let Json(api::CertifyServer { csr, names, ttl }) = body?;
    let request = ServerRequest { csr: &csr, names: &names, life: life(ttl)? };
    let issued = asking.fleet().certify_server(request, &asking.by);
    let CertifiedServer { chain, roots } = issued.map_err(|error| Failure::of_fleet(&error))?;
    Ok(Json(api::CertifiedServer {
        expires: time(chain[0].not_after()),
        certificate: chain.iter().map(Certificate::pem).collect(),
        roots: roots.iter().map(Certificate::pem).collect(),
    }))
}

fn step(asking: &Asking, outcome: Result<(), RotationError>) -> Result<Json<api::Pki>, Failure> {
    outcome.map_err(|error| Failure::of_fleet(&error))?;
    Ok(Json(pki(asking.fleet())))
}

fn pki(fleet: &Fleet) -> api::Pki {
    let InstanceView { id, made, roots, issuing_until, signing_keys, .. } = fleet.instance();
    let root = |certificate: &Certificate| api::RootCertificate {
        pin: certificate.pin().to_string(),
        expires: time(certificate.not_after()),
    };
    api::Pki {
        instance: id.to_string(),
        made: time(made),
        roots: roots.iter().map(root).collect(),
        issuing_until: time(issuing_until),
        signing_keys: signing_keys
            .into_iter()
            .map(|key| api::SigningKey { id: key.id, made: time(key.made), used_from: time(key.used_from) })
            .collect(),
        rotation: rotation(fleet.rotation_status()),
    }
}

fn rotation(status: RotationStatus) -> api::Rotation {
    let (stage, since) = match status.stage {
        RotationStage::Idle => (api::RotationStage::Idle, None),
        RotationStage::Begun { since } => (api::RotationStage::Begun, Some(since)),
        RotationStage::Switched { since } => (api::RotationStage::Switched, Some(since)),
    };
    let missing = |missing: Missing| api::MissingAgent {
        agent: missing.agent.to_string(),
        reason: match missing.reason {
            MissingReason::Root => api::MissingReason::Root,
            MissingReason::Certificate => api::MissingReason::Certificate,
            MissingReason::Unconfirmed => api::MissingReason::Unconfirmed,
        },
        seen: time(missing.seen),
    };
    api::Rotation {
        stage,
        since: since.map(time),
        ready: count(status.ready),
        missing: status.missing.into_iter().map(missing).collect(),
        keys: status.keys.iter().map(ToString::to_string).collect(),
    }
}
