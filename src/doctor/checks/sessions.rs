//! FD-16: sessions in the memory of one process.
//!
//! Owns: this rule.
//! Must not know: how settings are read.

use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-16",
    title: "Sessions live in the memory of one worker",
    why: "the next request goes to another worker or instance, which does not know the visitor: logins \
          are lost now and then, and all of them at each restart",
    mend: "keep sessions in the database, or in a cache that all share, such as Redis",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let details = patient.details()?;
    let is_in_cache = details.session_engine.ends_with("backends.cache");
    let uses = details.middleware.iter().any(|name| name.ends_with("SessionMiddleware"));
    let of_one = |(_, backend): &&(String, String)| {
        backend.ends_with("LocMemCache") || backend.ends_with("DummyCache")
    };
    let default = details.caches.iter().find(|(alias, _)| alias == "default").filter(of_one);
    let Some((_, backend)) = default.filter(|_| is_in_cache && uses) else { return Ok(vec![]) };
    let evidence = format!("SESSION_ENGINE = {:?}, cache {backend}", details.session_engine);
    Ok(vec![Finding::new(Severity::Warning, RULE.title, evidence)])
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn a_cache_of_one_process_is_found_where_sessions_are_in_it() {
        let mut patient = fixture::healthy();
        let details = fixture::details(&mut patient);
        details.middleware.push("django.contrib.sessions.middleware.SessionMiddleware".to_owned());
        let backend = "django.core.cache.backends.locmem.LocMemCache".to_owned();
        details.caches = vec![("default".to_owned(), backend)];
        assert_eq!(fixture::found(&patient), []);
        let engine = "django.contrib.sessions.backends.cache";
        engine.clone_into(&mut fixture::details(&mut patient).session_engine);
        assert_eq!(fixture::found(&patient), [("FD-16", Severity::Warning)]);
    }
}
