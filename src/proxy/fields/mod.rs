//! The header section of a request, as every step reads and changes it.
//!
//! Owns: the fields in their order, finding and changing them.
//! Must not know: what a field means, who wrote it.
//!
//! `http` has a map for this that hashes each name and checks each byte once more. A request has two
//! dozen fields, which the guard has judged and hardly anybody looks up: a list that points into what
//! was read costs a sixth (`benches/README.md`).

mod name;
mod value;

use bytes::BytesMut;
use http::request::Parts;
use http::{Method, Uri, Version};

pub(in crate::proxy) use name::KNOWN;
pub use name::{Name, names};
pub(in crate::proxy) use value::has_control;
pub use value::{HasControl, Value};

/// The header section of a request.
#[derive(Clone, Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The target.
    pub uri: Uri,
    /// The version between the client and forebay.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
}

impl From<Parts> for Head {
    fn from(parts: Parts) -> Self {
        // One piece of memory holds all values.
        let size = parts.headers.values().map(http::HeaderValue::len).sum();
        let mut text = BytesMut::with_capacity(size);
        let mut fields = Fields::with_capacity(parts.headers.len());
        for (name, value) in &parts.headers {
            text.extend_from_slice(value.as_bytes());
            fields.append(Name::from(name), Value::of_http(text.split().freeze()));
        }
        Self { method: parts.method, uri: parts.uri, version: parts.version, fields }
    }
}

/// Fields in the order in which they came.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fields(Vec<(Name, Value)>);

impl Fields {
    /// Without a field.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Without a field, with room for so many.
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Name, &Value)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The first value of a field.
    pub fn get(&self, name: &Name) -> Option<&Value> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// All values of a field, in their order.
    pub fn get_all<'a>(
        &'a self,
        name: &Name,
    ) -> impl DoubleEndedIterator<Item = &'a Value> + use<'a> {
        let name = name.clone();
        self.0.iter().filter(move |(own, _)| *own == name).map(|(_, value)| value)
    }

    /// Whether there is such a field.
    pub fn contains(&self, name: &Name) -> bool {
        self.get(name).is_some()
    }

    /// Adds a field behind all others.
    pub fn append(&mut self, name: Name, value: Value) {
        self.0.push((name, value));
    }

    /// Gives a field one value, in the place of its first one.
    pub fn insert(&mut self, name: Name, value: Value) {
        let Some(place) = self.0.iter().position(|(own, _)| *own == name) else {
            return self.append(name, value);
        };
        let mut others = false;
        if let Some(rest) = self.0.get_mut(place..)
            && let Some(((_, first), rest)) = rest.split_first_mut()
        {
            *first = value;
            others = rest.iter().any(|(own, _)| *own == name);
        }
        if others {
            let mut at = 0;
            self.0.retain(|(own, _)| {
                at += 1;
                at == place + 1 || *own != name
            });
        }
    }

    /// Removes a field with all its values.
    pub fn remove(&mut self, name: &Name) {
        self.0.retain(|(own, _)| own != name);
    }

    /// Keeps the fields of which `is_kept` says so.
    pub fn retain(&mut self, mut is_kept: impl FnMut(&Name, &Value) -> bool) {
        self.0.retain(|(name, value)| is_kept(name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn fields(lines: &[(&str, &'static str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(Name::read(name.as_bytes()).unwrap(), Value::from_static(value));
        }
        fields
    }

    fn texts(fields: &Fields) -> Vec<String> {
        fields.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn a_field_is_found_by_its_name_in_any_case() {
        let fields =
            fields(&[("HOST", "a"), ("X-Own-Name", "b"), ("cookie", "c"), ("Cookie", "d")]);
        assert_eq!(fields.get(&names::HOST).unwrap(), "a");
        assert_eq!(fields.get(&Name::read(b"x-own-name").unwrap()).unwrap(), "b");
        assert_eq!(fields.get_all(&names::COOKIE).count(), 2);
        assert!(!fields.contains(&names::ACCEPT));
    }

    #[test]
    fn an_inserted_value_is_the_only_one_and_stands_where_the_first_stood() {
        let mut fields = fields(&[("cookie", "a"), ("host", "b"), ("cookie", "c"), ("x", "d")]);
        fields.insert(names::COOKIE, Value::from_static("e"));
        fields.insert(names::ACCEPT, Value::from_static("f"));
        assert_eq!(texts(&fields), ["cookie=e", "host=b", "x=d", "accept=f"]);
        fields.remove(&names::COOKIE);
        assert_eq!(texts(&fields), ["host=b", "x=d", "accept=f"]);
    }

    #[test]
    fn what_hyper_has_read_is_the_same() {
        let request = Request::builder().uri("/a").header("Host", "b").header("X-Y", "c, d");
        let head = Head::from(request.header("X-Y", "").body(()).unwrap().into_parts().0);
        assert_eq!(texts(&head.fields), ["host=b", "x-y=c, d", "x-y="]);
        assert_eq!(head.uri.path(), "/a");
    }
}
