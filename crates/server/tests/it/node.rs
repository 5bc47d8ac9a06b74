//! An agent as the server meets it, but for the TLS that its certificate comes through.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use axum::Extension;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Status as Refusal, Streaming};
use weir_auth::access_key::AccessKey;
use weir_auth::pki::PrivateKey;
use weir_fleet::EnrolRequest;
use weir_foundation::http::{self, Peer};
use weir_foundation::supervise::DrainPhase;
use weir_server::agents::{AgentParts, control_router};
use weir_wire::proto::control::control_client::ControlClient;
use weir_wire::proto::control::instruction::Kind as Told;
use weir_wire::proto::control::report::Kind as Said;
use weir_wire::proto::control::{
    Configuration, Instruction, Introduction, LogLines, Outcome, Report, Status, TokenRequest,
};

use crate::world::World;

/// An agent that attends until it is dropped.
pub(crate) struct Node {
    pub(crate) name: String,
    reports: mpsc::Sender<Report>,
    instructions: Streaming<Instruction>,
}

impl Node {
    /// Joins with the key and attends. It runs nothing.
    pub(crate) async fn attend(world: &World, key: &str, name: &str) -> Self {
        Self::attend_at(world, &world.agents(), key, name).await
    }

    /// As [`Node::attend`], at another process.
    pub(crate) async fn attend_at(world: &World, parts: &AgentParts, key: &str, name: &str) -> Self {
        Self::introduced(world, parts, key, name, Introduction::default()).await
    }

    /// As [`Node::attend`], and says this of what it runs and of what has failed.
    pub(crate) async fn running(
        world: &World,
        key: &str,
        name: &str,
        running: &str,
        failed: Option<Outcome>,
    ) -> Self {
        let introduction = Introduction { running: running.to_owned(), failed, ..Introduction::default() };
        Self::introduced(world, &world.agents(), key, name, introduction).await
    }

    async fn introduced(
        world: &World,
        parts: &AgentParts,
        key: &str,
        name: &str,
        introduction: Introduction,
    ) -> Self {
        let own = PrivateKey::generate();
        let key: AccessKey = key.parse().expect("it was just made");
        let csr = own.request();
        let request = EnrolRequest { key: &key.id, secret: &key.secret, name, csr: &csr };
        let member = world.fleet().enrol(request).await.expect("the key is good");
        let door = door(parts, Peer { certificate: Some(member.chain[0].der().into()), refused: None });
        let channel = Channel::from_shared(format!("http://{door}")).expect("is a URL");
        let mut client = ControlClient::new(channel.connect().await.expect("it listens"));
        let token = client.token(TokenRequest {}).await.expect("it is an agent").into_inner().token;
        let (reports, sent) = mpsc::channel(8);
        let introduction = Introduction {
            version: "1.2.3".to_owned(),
            host: format!("{name}.example"),
            os: "Linux".to_owned(),
            ..introduction
        };
        reports.send(report(Said::Introduction(introduction))).await.expect("there is room");
        let mut request = Request::new(ReceiverStream::new(sent));
        let bearer = format!("Bearer {token}").parse().expect("is ASCII");
        request.metadata_mut().insert("authorization", bearer);
        let instructions = client.attend(request).await.expect("it is welcome").into_inner();
        Self { name: member.agent.to_string(), reports, instructions }
    }

    pub(crate) async fn says(&self, said: Said) {
        self.reports.send(report(said)).await.expect("it attends");
    }

    pub(crate) async fn status(&self, status: Status) {
        self.says(Said::Status(status)).await;
    }

    pub(crate) async fn told(&mut self) -> Result<Told, Refusal> {
        let told = self.instructions.message().await?;
        Ok(told.and_then(|told| told.kind).expect("the server says something"))
    }

    /// Answers the next that asks for the log.
    pub(crate) async fn gives_its_log(&mut self) {
        loop {
            if let Told::ReadLog(wanted) = self.told().await.expect("it is welcome") {
                let lines = vec!["one".to_owned()];
                return self.says(Said::LogLines(LogLines { request: wanted.request, lines })).await;
            }
        }
    }

    /// What it is to run, which is the next that it is told.
    pub(crate) async fn configuration(&mut self) -> Configuration {
        match self.told().await.expect("it is welcome") {
            Told::Configuration(configuration) => configuration,
            other => unreachable!("{other:?}"),
        }
    }
}

fn report(kind: Said) -> Report {
    Report { kind: Some(kind) }
}

/// Where agents are taken that show this certificate.
fn door(parts: &AgentParts, peer: Peer) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let router = control_router(parts).layer(Extension(peer));
    let process = http::Process { spawner: &parts.spawner, clock: &parts.clock };
    http::serve("agents", listener, router, http::Limits::default(), DrainPhase::StopIntake, process)
        .expect("it is bound");
    address
}
