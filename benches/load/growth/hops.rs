//! Hops in X-Forwarded-For: instructions of a request, by callgrind, which other work does not touch.

use super::{Growth, roomy};
use crate::stage::Stage;
use crate::support::chart::curves::Curve;
use crate::support::count::{Subject, per_request};
use crate::support::front::Front;
use crate::support::numbers::number;
use crate::support::upstream::Upstream;
use crate::support::{Failure, wire};

/// Measures a request with more and more hops.
pub(super) fn run(stage: &Stage, here: &[Front]) -> Result<Vec<Growth>, Failure> {
    let place = &stage.place;
    let application = Upstream::start(place.load_cpu, place.files)?;
    let mut fitted = roomy("hops", &[]);
    // Tables for more would take callgrind long to lay.
    fitted.set("FILES", "1000");
    fitted.set("CONNECTIONS", "400");
    let mut curves = Vec::new();
    for front in here.iter().copied() {
        let mut points = Vec::new();
        for hops in if stage.options.choice.quick { vec![1, 100] } else { vec![1, 10, 100] } {
            let request = request(hops);
            let subject = Subject {
                command: &|port| fitted.command(place, front, (port, application.port)),
                first: wire::request("/b200"),
                request: &|_| Ok(request.clone()),
                connects: false,
            };
            let count = per_request(place, &subject)
                .map_err(|why| Failure::new(format!("{}, {hops} hops: {why}", front.name())))?;
            points.push((f64::from(hops), number(count)));
        }
        curves.push(Curve { name: front.name().to_owned(), points });
    }
    Ok(vec![Growth {
        title: "Hops in X-Forwarded-For, 200 B".to_owned(),
        across: "hops",
        up: "instructions a request",
        is_cost: true,
        curves,
    }])
}

/// The request with so many hops, the last of which is the client.
fn request(hops: u8) -> Vec<u8> {
    let field = "X-Forwarded-For: ";
    let others: Vec<_> = (1..hops).map(|hop| format!("198.51.100.{hop}, ")).collect();
    let text = String::from_utf8_lossy(&wire::request("/b200")).into_owned();
    text.replacen(field, &format!("{field}{}", others.concat()), 1).into_bytes()
}
