//! Reads the Accept-Encoding field (RFC 9110 §12.5.3).
//!
//! Owns: its grammar, what weighs how much, which coding is taken where the client likes several.
//! Must not know: answers, encoders.

use super::fields::{Fields, names, text};

use crate::coding::Coding;

/// How much a client likes each coding, in thousandths; nothing where it does not name it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weights {
    codings: [Option<u16>; Coding::ALL.len()],
    identity: Option<u16>,
    others: Option<u16>,
}

impl Weights {
    /// Reads the field. An element that cannot be read counts for nothing.
    ///
    /// Without the field anything would be allowed, but programs that do not send it cannot decode.
    pub(super) fn read(fields: &Fields) -> Self {
        let mut weights = Self::default();
        for line in fields.get_all(&names::ACCEPT_ENCODING) {
            for element in text(line).unwrap_or_default().split(',') {
                let Some((name, weight)) = read(element) else { continue };
                let place = Coding::ALL.iter().position(|coding| coding.is_called(name));
                if let Some(known) = place.and_then(|place| weights.codings.get_mut(place)) {
                    *known = Some(weight);
                } else if name.eq_ignore_ascii_case("identity") {
                    weights.identity = Some(weight);
                } else if name == "*" {
                    weights.others = Some(weight);
                }
            }
        }
        weights
    }

    /// The weight of a coding that the client names; zero of any other.
    pub(super) fn named(&self, coding: Coding) -> u16 {
        self.codings.get(coding as usize).copied().flatten().unwrap_or_default()
    }

    /// The weight of the content as it is. Not named, it comes after everything that is.
    pub(super) fn identity(&self) -> u16 {
        self.identity.unwrap_or_default()
    }

    /// The coding that the client likes best; nothing where it likes none, or the content as it is
    /// better.
    pub(super) fn best(&self) -> Option<Coding> {
        let least = self.identity().max(1);
        let mut best = None;
        for (coding, weight) in Coding::ALL.into_iter().zip(self.codings) {
            let weight = weight.or(self.others).unwrap_or_default();
            if weight >= least && best.is_none_or(|(_, most)| weight > most) {
                best = Some((coding, weight));
            }
        }
        best.map(|(coding, _)| coding)
    }
}

/// A name and its weight in thousandths.
fn read(element: &str) -> Option<(&str, u16)> {
    let mut parts = element.split(';').map(|part| part.trim_matches([' ', '\t']));
    let name = parts.next().filter(|name| !name.is_empty())?;
    match (parts.next(), parts.next()) {
        (None, _) => Some((name, 1000)),
        (Some(weight), None) => {
            let (q, weight) = weight.split_once('=')?;
            q.eq_ignore_ascii_case("q").then_some(())?;
            Some((name, thousandths(weight)?))
        }
        (Some(_), Some(_)) => None,
    }
}

/// RFC 9110 §12.4.2: `0` to `1` with up to three digits behind the point.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_sound = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    let part = if is_sound { format!("{part:0<3}").parse().ok()? } else { return None };
    match (whole, part) {
        ("0", part) => Some(part),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::Value;
    use super::*;
    use Coding::{Brotli, Gzip, Zstd};
    use proptest::prelude::*;

    fn chosen(text: &str) -> Option<Coding> {
        let mut fields = Fields::new();
        for line in text.split('\n').filter(|line| !line.is_empty()) {
            fields.append(names::ACCEPT_ENCODING, &Value::read(line.to_owned()).unwrap());
        }
        Weights::read(&fields).best()
    }

    #[test]
    fn the_client_chooses() {
        for (text, wanted) in [
            ("", None),
            (" ", None),
            ("gzip", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("GZIP", Some(Gzip)),
            ("br", Some(Brotli)),
            ("zstd", Some(Zstd)),
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip, deflate, br", Some(Brotli)),
            ("gzip, deflate", Some(Gzip)),
            ("deflate", None),
            ("gzip\nbr", Some(Brotli)),
            ("gzip;q=1.0, br;q=0.9, zstd;q=0.8", Some(Gzip)),
            ("gzip;q=0.5, br;q=0.501", Some(Brotli)),
            ("gzip; Q=0.5 , br;q=0.4", Some(Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=0.000, br", Some(Brotli)),
            ("*", Some(Zstd)),
            ("*;q=0", None),
            ("*;q=0, gzip", Some(Gzip)),
            ("zstd;q=0, *", Some(Brotli)),
            ("identity", None),
            ("identity, gzip", Some(Gzip)),
            ("identity;q=0.5, gzip;q=0.4", None),
            ("identity;q=0.5, gzip;q=0.6", Some(Gzip)),
            ("identity;q=0", None),
            ("identity;q=0, *", Some(Zstd)),
            ("gzip;q=2", None),
            ("gzip;q=1.001", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=", None),
            ("gzip;q=-1", None),
            ("gzip;level=9", None),
            ("gzip;q=1;q=0", None),
            ("gzipped, brotli, *;q=x", None),
            (",,gzip,,", Some(Gzip)),
        ] {
            assert_eq!(chosen(text), wanted, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_refused_is_never_chosen(text in "[a-z*;=q.,01 -]{0,60}", at in 0_usize..3) {
            let refused = Coding::ALL[at];
            prop_assert_ne!(chosen(&format!("{text},{};q=0", refused.name())), Some(refused));
        }
    }
}
