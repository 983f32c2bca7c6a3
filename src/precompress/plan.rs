//! Decides what is to be compressed, what is in order and what is to go.
//!
//! Owns: when a variant is right, which files are compressed together.
//! Must not know: the file system, encoders, threads.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use blake3::Hash;

use super::file::Seen;
use super::record::{Compressed, Entry, Record};
use super::survey::{Sight, Source};
use crate::coding::Coding;

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What takes longest first: it must not start last.
    pub(super) jobs: Vec<Job>,
    /// What is known already; what is superfluous is still in it.
    pub(super) record: Record,
    /// What each file holds; nothing where it could not be read.
    pub(super) sources: BTreeMap<String, Option<Hash>>,
}

/// A content to be compressed with one coding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Job {
    pub(super) coding: Coding,
    pub(super) level: u8,
    pub(super) content: Hash,
    pub(super) bytes: u64,
    /// The files that hold it: `ManifestStaticFilesStorage` keeps each twice, for one.
    pub(super) targets: Vec<Target>,
    /// A file that has this very variant already, and the variant.
    pub(super) donor: Option<(String, Seen)>,
}

/// A file that needs a variant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) seen: Seen,
    pub(super) need: Need,
}

/// Why a file needs a variant.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Need {
    #[error("missing")]
    New,
    /// The file holds something else than when it was compressed.
    #[error("stale")]
    Changed,
    /// What was written is not there any more, or not as it was.
    #[error("lost or altered")]
    Lost,
    #[error("made with --fast")]
    Weak,
}

/// A variant that forebay wrote and that has to go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Superfluous {
    pub(super) name: String,
    pub(super) coding: Coding,
    /// Whether its file is there and holds something else: then the variant is wrong.
    pub(super) is_stale: bool,
}

/// The codings that are wanted, each with the level of its encoder.
pub(super) type Wanted = BTreeMap<Coding, u8>;

/// Makes the plan.
pub(super) fn plan(sights: &[Sight], wanted: &Wanted) -> Plan {
    let known = Known::among(sights);
    let mut plan = Plan::default();
    let mut jobs = HashMap::new();
    for sight in sights {
        let mut entry = kept(sight);
        let content = match &sight.source {
            Source::There(seen) => Some(Some(seen.hash)),
            Source::Unknown => Some(None),
            Source::Absent => None,
        };
        if let (Source::There(seen), Some(entry)) = (&sight.source, &mut entry) {
            for (&coding, &level) in wanted.iter().filter(|_| seen.bytes > 0) {
                let Some(need) = need(sight, seen.hash, (coding, level)) else { continue };
                let target = Target { name: sight.name.clone(), seen: seen.clone(), need };
                match known.of(seen.hash, (coding, level)) {
                    Some((_, result)) if result.variant.is_none() && !entry.has_variant(coding) => {
                        entry.results.insert(coding, result.clone());
                    }
                    result => {
                        let place = jobs.entry((seen.hash, coding));
                        let job = place.or_insert_with(|| Job::of(seen, coding, level, result));
                        job.targets.push(target);
                    }
                }
            }
        }
        plan.sources.extend(content.map(|content| (sight.name.clone(), content)));
        plan.record.0.extend(entry.map(|entry| (sight.name.clone(), entry)));
    }
    plan.jobs = jobs.into_values().collect();
    plan.jobs.sort_by_cached_key(|job| (Reverse(job.work()), *job.content.as_bytes()));
    plan
}

impl Job {
    fn of(seen: &Seen, coding: Coding, level: u8, known: Option<(&str, &Compressed)>) -> Self {
        Self {
            coding,
            // The donor's may be higher.
            level: known.map_or(level, |(_, result)| result.level),
            content: seen.hash,
            bytes: seen.bytes,
            targets: Vec::new(),
            donor: known.and_then(|(name, it)| Some((name.to_owned(), it.variant.clone()?))),
        }
    }

    /// How long it takes, in no unit.
    pub(super) fn work(&self) -> u64 {
        let weight = match self.coding {
            _ if self.donor.is_some() => 0,
            Coding::Brotli => 7,
            Coding::Zstd => 2,
            Coding::Gzip => 1,
        };
        self.bytes * weight
    }
}

/// The variants that have to go, of those in the record.
pub(super) fn superfluous(
    record: &Record,
    sources: &BTreeMap<String, Option<Hash>>,
    wanted: &Wanted,
) -> Vec<Superfluous> {
    let mut all = Vec::new();
    for (name, entry) in &record.0 {
        for (&coding, result) in entry.results.iter().filter(|(_, it)| it.variant.is_some()) {
            let is_stale = match sources.get(name) {
                // Nothing is known of the file, so nothing is done.
                Some(None) => continue,
                Some(Some(content)) => *content != result.content,
                None => false,
            };
            if is_stale || !sources.contains_key(name) || !wanted.contains_key(&coding) {
                all.push(Superfluous { name: name.clone(), coding, is_stale });
            }
        }
    }
    all
}

/// What the record may keep of a name: results whose variants are there as they were written.
fn kept(sight: &Sight) -> Option<Entry> {
    let mut entry = match (&sight.source, &sight.entry) {
        (Source::There(seen), None) => Entry { seen: seen.clone(), results: BTreeMap::new() },
        (Source::There(seen), Some(entry)) => Entry { seen: seen.clone(), ..entry.clone() },
        (Source::Unknown, entry) => return entry.clone(),
        (Source::Absent, entry) => entry.clone()?,
    };
    entry.results.retain(|coding, it| it.variant.is_none() || sight.intact.contains(coding));
    let is_of_use = sight.source != Source::Absent || !sight.intact.is_empty();
    is_of_use.then_some(entry)
}

/// Why a file needs a variant; nothing when it does not.
fn need(sight: &Sight, content: Hash, (coding, level): (Coding, u8)) -> Option<Need> {
    let Some(result) = sight.entry.as_ref().and_then(|entry| entry.results.get(&coding)) else {
        return Some(Need::New);
    };
    if result.content != content {
        Some(Need::Changed)
    } else if result.variant.is_some() && !sight.intact.contains(&coding) {
        Some(Need::Lost)
    } else {
        (result.level < level).then_some(Need::Weak)
    }
}

/// What is known of contents, from whichever file held them.
#[derive(Debug)]
struct Known<'a>(HashMap<(Hash, Coding), (&'a str, &'a Compressed)>);

impl<'a> Known<'a> {
    fn among(sights: &'a [Sight]) -> Self {
        let mut best: HashMap<_, (&str, &Compressed)> = HashMap::new();
        for sight in sights {
            for (&coding, result) in sight.entry.iter().flat_map(|entry| &entry.results) {
                // A stale variant is removed before anything else.
                let is_stale =
                    matches!(&sight.source, Source::There(seen) if seen.hash != result.content);
                let is_there = sight.intact.contains(&coding) && !is_stale;
                let place = (result.content, coding);
                let is_better = best.get(&place).is_none_or(|(_, it)| it.level < result.level);
                if (result.variant.is_none() || is_there) && is_better {
                    best.insert(place, (&sight.name, result));
                }
            }
        }
        Self(best)
    }

    /// What is known of a content at this level or a higher one.
    fn of(
        &self,
        content: Hash,
        (coding, level): (Coding, u8),
    ) -> Option<(&'a str, &'a Compressed)> {
        self.0.get(&(content, coding)).copied().filter(|(_, result)| result.level >= level)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn seen(content: u8) -> Seen {
        Seen { bytes: u64::from(content), hash: blake3::hash(&[content]), stamp: None }
    }

    fn result(content: u8, level: u8, variant: Option<u8>) -> Compressed {
        Compressed { content: seen(content).hash, level, variant: variant.map(seen) }
    }

    fn there(name: &str, content: u8) -> Sight {
        let source = Source::There(seen(content));
        Sight { name: name.to_owned(), source, entry: None, intact: BTreeSet::new() }
    }

    /// With a variant in the record that is there.
    fn with_variant(mut sight: Sight, content: u8, level: u8) -> Sight {
        let results = [(Coding::Gzip, result(content, level, Some(100)))].into();
        sight.entry = Some(Entry { seen: seen(content), results });
        sight.intact = [Coding::Gzip].into();
        sight
    }

    fn absent(sight: Sight) -> Sight {
        Sight { source: Source::Absent, ..sight }
    }

    fn gzip() -> Wanted {
        [(Coding::Gzip, 10)].into()
    }

    #[test]
    fn a_content_is_compressed_once_for_all_files_that_hold_it() {
        let plan = plan(&[there("a", 1), there("b", 2), there("c", 1), there("empty", 0)], &gzip());
        let jobs: Vec<Vec<_>> = plan
            .jobs
            .iter()
            .map(|job| job.targets.iter().map(|target| target.name.as_str()).collect())
            .collect();
        assert_eq!(jobs, [vec!["b"], vec!["a", "c"]]);
    }

    #[test]
    fn what_is_in_order_needs_nothing_at_the_same_level_or_a_lower_one() {
        for (level, need) in [(12, None), (10, None), (9, Some(Need::Weak))] {
            let plan = plan(&[with_variant(there("a", 1), 1, level)], &gzip());
            let found = plan.jobs.first().and_then(|job| Some(job.targets.first()?.need));
            assert_eq!(found, need, "{level}");
            assert!(superfluous(&plan.record, &plan.sources, &gzip()).is_empty());
        }
    }

    #[test]
    fn a_changed_file_and_a_lost_variant_are_done_again() {
        let changed = with_variant(there("a", 2), 1, 12);
        let mut lost = with_variant(there("b", 3), 3, 12);
        lost.intact.clear();
        let plan = plan(&[changed, lost], &gzip());
        let needs: Vec<_> = plan.jobs.iter().map(|job| job.targets[0].need).collect();
        assert_eq!(needs, [Need::Lost, Need::Changed]);
        let all = superfluous(&plan.record, &plan.sources, &gzip());
        assert_eq!(all, [Superfluous { name: "a".into(), coding: Coding::Gzip, is_stale: true }]);
    }

    #[test]
    fn what_moved_gives_its_variant_away_and_then_loses_it() {
        let moved = absent(with_variant(there("old", 1), 1, 12));
        let plan = plan(&[there("new", 1), moved], &gzip());
        let [job] = plan.jobs.as_slice() else { panic!("{plan:?}") };
        assert_eq!(job.donor, Some(("old".to_owned(), seen(100))));
        assert_eq!(job.level, 12);
        let all = superfluous(&plan.record, &plan.sources, &gzip());
        assert_eq!(
            all,
            [Superfluous { name: "old".into(), coding: Coding::Gzip, is_stale: false }]
        );
    }

    #[test]
    fn a_stale_variant_is_nobodys_donor() {
        let swapped = [with_variant(there("a", 2), 1, 12), there("b", 1)];
        let plan = plan(&swapped, &gzip());
        assert!(plan.jobs.iter().all(|job| job.donor.is_none()), "{plan:?}");
    }

    #[test]
    fn what_does_not_pay_is_not_tried_for_another_file() {
        let mut known = there("a", 1);
        let results = [(Coding::Gzip, result(1, 12, None))].into();
        known.entry = Some(Entry { seen: seen(1), results });
        let plan = plan(&[known, there("b", 1)], &gzip());
        assert!(plan.jobs.is_empty(), "{plan:?}");
        assert_eq!(plan.record.0["b"].results[&Coding::Gzip], result(1, 12, None));
    }

    #[test]
    fn brotli_of_the_largest_file_starts_first() {
        let wanted = Coding::ALL.map(|coding| (coding, 9)).into();
        let plan = plan(&[there("small", 10), there("large", 100)], &wanted);
        let order: Vec<_> = plan.jobs.iter().map(|job| (job.coding, job.bytes)).collect();
        assert_eq!(order[..2], [(Coding::Brotli, 100), (Coding::Zstd, 100)]);
        assert_eq!(order[5], (Coding::Gzip, 10));
    }

    fn sights() -> impl Strategy<Value = Vec<Sight>> {
        let source = prop_oneof![
            4 => (0_u8..4).prop_map(|content| Source::There(seen(content))),
            1 => Just(Source::Absent),
            1 => Just(Source::Unknown),
        ];
        let coding = || proptest::sample::select(Coding::ALL.to_vec());
        let result = (0_u8..4, 9_u8..12, proptest::option::of(100_u8..103))
            .prop_map(|(content, level, variant)| result(content, level, variant));
        let entry = (0_u8..4, proptest::collection::btree_map(coding(), result, 0..4))
            .prop_map(|(content, results)| Entry { seen: seen(content), results });
        let intact = proptest::collection::btree_set(coding(), 0..4);
        let sight = (source, proptest::option::of(entry), intact);
        proptest::collection::vec(sight, 0..5).prop_map(|all| {
            let named = all.into_iter().zip(["a", "b", "c", "d", "e"]);
            named
                .map(|((source, entry, mut intact), name)| {
                    intact.retain(|it| entry.as_ref().is_some_and(|entry| entry.has_variant(*it)));
                    Sight { name: name.to_owned(), source, entry, intact }
                })
                .collect()
        })
    }

    /// Does what a plan says, where every second content pays.
    fn carried_out(mut plan: Plan, wanted: &Wanted) -> Record {
        for job in &plan.jobs {
            for target in &job.targets {
                let pays = job.bytes % 2 == 0 || job.donor.is_some();
                let variant = pays.then(|| seen(101));
                let result = Compressed { content: job.content, level: job.level, variant };
                plan.record.0.get_mut(&target.name).unwrap().results.insert(job.coding, result);
            }
        }
        for it in superfluous(&plan.record, &plan.sources, wanted) {
            plan.record.0.get_mut(&it.name).unwrap().results.remove(&it.coding);
        }
        plan.record
    }

    proptest! {
        #[test]
        fn a_plan_that_was_carried_out_leaves_nothing_to_do(
            sights in sights(),
            wanted in proptest::collection::btree_map(
                proptest::sample::select(Coding::ALL.to_vec()), 9_u8..12, 1..4
            ),
        ) {
            let record = carried_out(plan(&sights, &wanted), &wanted);
            let next: Vec<_> = sights
                .iter()
                .map(|sight| {
                    let entry = record.0.get(&sight.name).cloned();
                    let has_variant = |coding: &Coding| {
                        entry.as_ref().is_some_and(|entry| entry.has_variant(*coding))
                    };
                    let intact = Coding::ALL.into_iter().filter(has_variant).collect();
                    let (name, source) = (sight.name.clone(), sight.source.clone());
                    Sight { name, source, entry, intact }
                })
                .collect();
            let again = plan(&next, &wanted);
            prop_assert!(again.jobs.is_empty(), "{again:?}");
            prop_assert!(superfluous(&again.record, &again.sources, &wanted).is_empty());
            for sight in &sights {
                let entry = record.0.get(&sight.name);
                match &sight.source {
                    Source::There(seen) if seen.bytes > 0 => {
                        for (coding, level) in &wanted {
                            let result = &entry.unwrap().results[coding];
                            prop_assert_eq!(result.content, seen.hash);
                            prop_assert!(result.level >= *level);
                        }
                    }
                    Source::Unknown => prop_assert_eq!(entry, sight.entry.as_ref()),
                    Source::There(_) | Source::Absent => {}
                }
            }
        }
    }
}
