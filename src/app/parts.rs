//! The parts that all data threads share, and what each has of its own.
//!
//! Owns: which part is given what.
//! Must not know: when anything starts or ends.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::timeline::Timeline;
use super::{look, own};
use crate::config::Config;
use crate::proxy::assets::Assets;
use crate::proxy::body::Reporter;
use crate::proxy::compress::Compressor;
use crate::proxy::intake::Intake;
use crate::proxy::listen::Share;
use crate::proxy::normalise::{Normaliser, Platform};
use crate::proxy::status::Desk;
use crate::proxy::upstream::{Common, Upstream};
use crate::proxy::{Gateway, Witness};
use crate::status::Look;
use crate::supervise::Roster;

/// The parts that all data threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) normaliser: Arc<Normaliser>,
    pub(super) common: Common,
    pub(super) assets: Arc<Assets>,
    pub(super) compressor: Arc<Compressor>,
    pub(super) reporter: Reporter,
    pub(super) witness: Option<Arc<Witness>>,
    pub(super) roster: Arc<Roster>,
    pub(super) timeline: Arc<Timeline>,
    pub(super) look: Look,
    /// Which release runs, once that is known.
    pub(super) release: Arc<OnceLock<String>>,
    desk: Option<Arc<Desk>>,
}

impl Shared {
    pub(super) fn new(config: &Config, reporter: Reporter, witness: Option<Arc<Witness>>) -> Self {
        let common = Common::new(config.queue, config.spool.clone());
        let assets = Arc::new(Assets::new(config.assets.clone()));
        let has_limit =
            config.normalise.platform == Platform::AppService || config.is_chosen("start-limit");
        let limit = has_limit.then_some(config.probes.start_limit);
        let timeline = Arc::new(Timeline::new(&common.readiness, limit));
        let roster = Arc::new(Roster::default());
        let release: Arc<OnceLock<_>> =
            Arc::new(config.release.id.clone().map_or_else(OnceLock::new, OnceLock::from));
        let look = look::by(look::Sources {
            instance: config.instance.clone().or_else(own::host).unwrap_or_default(),
            release: Arc::clone(&release),
            started: SystemTime::now(),
            common: common.clone(),
            assets: Arc::clone(&assets),
            reporter: reporter.clone(),
            roster: Arc::clone(&roster),
            timeline: Arc::clone(&timeline),
            connection_limit: config.connection_limit,
            tunnel_limit: config.connection.tunnel.limit,
        });
        let desk = config.status.token.map(|token| Arc::new(Desk::new(token, look.clone())));
        Self {
            normaliser: Arc::new(Normaliser::new(config.normalise.clone())),
            common,
            assets,
            compressor: Arc::new(Compressor::new(config.compress)),
            reporter,
            witness,
            roster,
            timeline,
            look,
            release,
            desk,
        }
    }

    /// What a data thread has, with its own count of connections.
    pub(super) fn share(&self, config: &Config, open: Arc<AtomicU64>) -> Share {
        let gateway = Gateway {
            normaliser: Arc::clone(&self.normaliser),
            routes: Arc::new(config.routes.clone()),
            probes: config.probes,
            status: self.desk.clone(),
            assets: Arc::clone(&self.assets),
            intake: Intake::new(config.intake.clone(), Arc::clone(&self.common.stores)),
            upstream: Arc::new(Upstream::new(config.upstream.clone(), self.common.clone())),
            send_file: Arc::new(config.send_file.clone()),
            compressor: Arc::clone(&self.compressor),
            readiness: Arc::clone(&self.common.readiness),
            reporter: self.reporter.clone(),
            witness: self.witness.clone(),
        };
        Share { gateway: Arc::new(gateway), settings: config.connection, open }
    }
}
