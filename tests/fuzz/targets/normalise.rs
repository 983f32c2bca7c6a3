//! Whatever the fields are, one client, one scheme and one host go on, and nothing forbidden does.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use forebay::proxy::fields::{Head, names};
use forebay::proxy::normalise::{
    Edges, Forwarded, Journal, Normaliser, Platform, Settings,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, Vec<(String, Vec<u8>)>)| {
    let (choice, fields) = input;
    let mut request = http::Request::builder();
    for (name, value) in &fields {
        let (name, value) = (name.as_bytes(), value.as_slice());
        if let (Ok(name), Ok(value)) =
            (http::HeaderName::from_bytes(name), http::HeaderValue::from_bytes(value))
        {
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(()) else { return };
    let mut request = Head::from(request.into_parts().0);
    let platforms =
        [Platform::AppService, Platform::ContainerApps, Platform::Kubernetes, Platform::None];
    let edges = [Edges::Count(0), Edges::Count(1), Edges::FrontDoor(None), Edges::AppGateway];
    let settings = Settings {
        platform: platforms[usize::from(choice & 3)],
        edges: edges[usize::from(choice >> 2 & 3)].clone(),
        trusted: vec!["10.0.0.0/8".parse().unwrap()],
        forwarded: if choice & 16 == 0 { Forwarded::Client } else { Forwarded::Chain },
        scheme: None,
        canonical_host: None,
        easy_auth: choice & 32 != 0,
        kept: Vec::new(),
    };
    let peer = SocketAddr::from(([10, 0, 0, 1], 5));
    let seen =
        Normaliser::new(settings).normalise(&mut request, peer, &mut Journal::new(choice & 64 != 0));
    let Ok(seen) = seen else { return };
    for name in [names::HOST, names::X_FORWARDED_FOR, names::X_FORWARDED_PROTO] {
        assert_eq!(request.fields.get_all(&name).count(), 1);
    }
    let chain = request.fields.get(&names::X_FORWARDED_FOR).unwrap();
    let chain = std::str::from_utf8(chain).unwrap();
    assert!(chain.split(", ").all(|hop| hop.parse::<IpAddr>().is_ok()));
    assert_eq!(chain.split(", ").next().unwrap(), seen.client.to_string());
    assert!(request.fields.iter().all(|(name, _)| !name.as_str().contains('_')));
    assert!(!request.fields.contains(&names::FORWARDED));
});
