//! Asks every part how it is, when somebody wants to know.
//!
//! Owns: which number of the report comes from which part.
//! Must not know: who asks, how a report is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::own;
use super::timeline::Timeline;
use crate::proxy::assets::Assets;
use crate::proxy::body::Reporter;
use crate::proxy::upstream::Common;
use crate::status::{self, Look, Process, Report, Spool, Traffic};
use crate::supervise::{Roster, State};

/// The parts that are asked.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) instance: String,
    pub(super) release: Arc<OnceLock<String>>,
    pub(super) started: SystemTime,
    pub(super) common: Common,
    pub(super) assets: Arc<Assets>,
    pub(super) reporter: Reporter,
    pub(super) roster: Arc<Roster>,
    pub(super) timeline: Arc<Timeline>,
    pub(super) connection_limit: u64,
    pub(super) tunnel_limit: u64,
}

/// Asks these parts, each time anew.
pub(super) fn by(sources: Sources) -> Look {
    Look::by(move || sources.report())
}

impl Sources {
    fn report(&self) -> Report {
        let counters = &self.reporter.counters;
        let stock = self.assets.stock();
        Report {
            version: env!("CARGO_PKG_VERSION"),
            instance: self.instance.clone(),
            release: self.release.get().cloned(),
            own: own::look(self.started, self.common.readiness.since()),
            steps: self.timeline.steps(),
            start: self.timeline.start(),
            processes: self.processes(),
            traffic: self.traffic(),
            spool: self.spool(),
            assets: stock.map(|stock| status::Assets {
                files: stock.files,
                bytes: stock.bytes,
                memory: stock.memory_bytes,
                age: stock.age,
            }),
            tallied: counters.tally.look(),
            codes: counters.codes().collect(),
            lost_lines: self.reporter.output.lost(),
        }
    }

    fn traffic(&self) -> Traffic {
        let Common { queue, pulse, .. } = &self.common;
        let counters = &self.reporter.counters;
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let settings = queue.settings();
        Traffic {
            requests: now(&counters.requests),
            in_flight: now(&counters.in_flight),
            waiting: queue.waiting() as u64,
            waiting_limit: settings.queue_limit as u64,
            inside: queue.inside() as u64,
            concurrency: settings.concurrency as u64,
            queued: queue.queued(),
            held: queue.held(),
            repeated: pulse.repeats(),
            connections: now(&counters.connections),
            connection_limit: self.connection_limit,
            tunnels: now(&counters.tunnels),
            tunnel_limit: self.tunnel_limit,
            upstream_open: pulse.open(),
            upstream_idle: self.common.idle(),
        }
    }

    fn spool(&self) -> Spool {
        let stores = &self.common.stores;
        Spool {
            memory: stores.memory().used(),
            memory_limit: stores.memory().limit(),
            disk: stores.disk().used(),
            disk_limit: stores.disk().limit(),
        }
    }

    fn processes(&self) -> Vec<Process> {
        let members = self.roster.members();
        let memory = Roster::memory(&members);
        let process = |member: &crate::supervise::Member| {
            let pid = member.pid();
            let of_it = memory.iter().find(|(leader, _)| Some(*leader) == pid);
            Process {
                name: member.name.clone(),
                role: member.role.name(),
                state: member.state.name(),
                is_up: member.state == State::Running,
                pid,
                lasted: member.since.elapsed(),
                restarts: member.restarts,
                last_exit: member.last_exit.map(|exit| exit.to_string()),
                memory: of_it.map(|(_, bytes)| *bytes),
            }
        };
        members.iter().map(process).collect()
    }
}
