//! The header section of a request, as every step reads and changes it; and the fields of an answer.
//!
//! Owns: the fields in their order, finding and changing them.
//! Must not know: what a field means, who wrote it.
//!
//! `http` has a map for this that hashes each name and checks each byte once more. A request has two
//! dozen fields, which the guard has judged and hardly anybody looks up: a list that points into what
//! was read costs a sixth (`benches/README.md`).

mod known;
mod name;
mod value;

use std::ops::Range;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

pub(in crate::proxy) use known::KNOWN;
pub use known::{Known, names};
pub use name::Name;
pub(in crate::proxy) use value::has_control;
pub use value::{HasControl, Value, text};

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
        let headers = &parts.headers;
        let mut text = Vec::with_capacity(headers.values().map(HeaderValue::len).sum());
        headers.values().for_each(|value| text.extend_from_slice(value.as_bytes()));
        let mut fields = Fields::over(text.into(), headers.len());
        let mut start = 0;
        for (name, value) in headers {
            fields.add(Name::from(name), start..start + value.len());
            start += value.len();
        }
        Self { method: parts.method, uri: parts.uri, version: parts.version, fields }
    }
}

/// Fields in the order in which they came; those that hyper has read are together by name.
///
/// In a box, since they are handed on with every step of an answer.
#[derive(Clone, Debug, Default)]
pub struct Fields(Box<List>);

#[derive(Clone, Debug, Default)]
struct List {
    /// What was read. Most values are parts of it.
    text: Bytes,
    /// The values that were written since, one behind the other.
    written: Vec<u8>,
    lines: Vec<Line>,
    /// Where each known name comes first: most questions are for fields that are not there.
    firsts: Firsts,
    /// The known names that come more than once.
    repeated: Numbers,
}

/// A field: its name, and where its value is in what was read and what was written behind that.
#[derive(Clone, Debug)]
struct Line {
    /// Nothing if the field was removed: the others stay where they are.
    name: Option<Name>,
    value: Range<usize>,
}

impl Line {
    fn is(&self, name: &Name) -> bool {
        self.name.as_ref() == Some(name)
    }
}

impl Fields {
    /// Without a field.
    pub fn new() -> Self {
        Self::default()
    }

    /// Without a field, with room for so many whose values are parts of `text`.
    pub(in crate::proxy) fn over(text: Bytes, count: usize) -> Self {
        Self(Box::new(List { text, lines: Vec::with_capacity(count), ..List::default() }))
    }

    /// Sets the text of which all values are parts.
    pub(in crate::proxy) fn set_text(&mut self, text: Bytes) {
        self.0.text = text;
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Name, &[u8])> {
        self.0.lines.iter().filter_map(|line| Some((line.name.as_ref()?, self.value(line))))
    }

    /// The first value of a field.
    pub fn get(&self, name: &Name) -> Option<&[u8]> {
        let line = self.0.lines.get(self.place(name)?)?;
        Some(self.value(line))
    }

    /// The first value of a field, to be kept.
    pub fn keep(&self, name: &Name) -> Option<Value> {
        let line = self.0.lines.get(self.place(name)?)?;
        Some(Value::judged(self.bytes(line)))
    }

    /// All values of a field, in their order.
    pub fn get_all<'a>(
        &'a self,
        name: &Name,
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> + use<'a> {
        let lines = match self.place(name) {
            Some(place) if self.is_repeated(name) => self.0.lines.get(place..),
            Some(place) => self.0.lines.get(place..=place),
            None => None,
        };
        let (lines, name) = (lines.unwrap_or_default(), name.clone());
        lines.iter().filter(move |line| line.is(&name)).map(|line| self.value(line))
    }

    /// Whether there is such a field.
    pub fn contains(&self, name: &Name) -> bool {
        self.place(name).is_some()
    }

    /// Whether a field has this value and no other.
    pub fn is_exactly(&self, name: &Name, value: &Value) -> bool {
        self.get(name) == Some(value.as_bytes()) && !self.is_repeated(name)
    }

    /// Adds a field behind all others.
    pub fn append(&mut self, name: Name, value: &Value) {
        self.append_copy(name, value.as_bytes());
    }

    /// Adds a field whose value is that of another one.
    pub(in crate::proxy) fn append_copy(&mut self, name: Name, value: &[u8]) {
        let value = self.write(value);
        self.add(name, value);
    }

    /// Adds a field whose value is a part of the text that was read.
    pub(in crate::proxy) fn append_part(&mut self, name: Name, part: &[u8]) {
        let start = (part.as_ptr() as usize).saturating_sub(self.0.text.as_ptr() as usize);
        let value = if part.is_empty() { 0..0 } else { start..start + part.len() };
        self.add(name, value);
    }

    /// Adds a field whose value is at a place of the text that was read, or will be set.
    pub(in crate::proxy) fn add(&mut self, name: Name, value: Range<usize>) {
        if let Some(number) = name.number()
            && !self.0.firsts.note(number, self.0.lines.len())
        {
            self.0.repeated.insert(number);
        }
        self.0.lines.push(Line { name: Some(name), value });
    }

    /// Gives a field one value, in the place of its first one.
    pub fn insert(&mut self, name: Name, value: &Value) {
        let Some(place) = self.place(&name) else { return self.append(name, value) };
        if self.is_repeated(&name) {
            self.clear(&name, place + 1);
        }
        let value = self.write(value.as_bytes());
        if let Some(line) = self.0.lines.get_mut(place) {
            line.value = value;
        }
    }

    /// Removes a field with all its values.
    pub fn remove(&mut self, name: &Name) {
        let Some(place) = self.place(name) else { return };
        if self.is_repeated(name) {
            self.clear(name, place);
        } else if let Some(line) = self.0.lines.get_mut(place) {
            line.name = None;
        }
        if let Some(number) = name.number() {
            self.0.firsts.forget(number);
        }
    }

    /// Removes a field's values from a place on.
    fn clear(&mut self, name: &Name, place: usize) {
        let lines = self.0.lines.iter_mut().skip(place);
        lines.filter(|line| line.is(name)).for_each(|line| line.name = None);
        if let Some(number) = name.number() {
            self.0.repeated.remove(number);
        }
    }

    /// Where a field comes first.
    fn place(&self, name: &Name) -> Option<usize> {
        let first = match name.number().map(|number| self.0.firsts.of(number)) {
            Some(First::Nowhere) => return None,
            Some(First::At(place)) => return Some(place),
            Some(First::Far) => FAR,
            None => 0,
        };
        let place = self.0.lines.get(first..)?.iter().position(|line| line.is(name))?;
        Some(first + place)
    }

    /// Whether a field comes more than once.
    pub fn is_repeated(&self, name: &Name) -> bool {
        match name.number() {
            Some(number) => self.0.repeated.contains(number),
            None => self.0.lines.iter().filter(|line| line.is(name)).nth(1).is_some(),
        }
    }

    fn value(&self, line: &Line) -> &[u8] {
        let Range { start, end } = line.value;
        let read = self.0.text.len();
        let value = match start.checked_sub(read) {
            Some(start) if end > start => self.0.written.get(start..end - read),
            _ => self.0.text.get(start..end),
        };
        value.unwrap_or_default()
    }

    fn bytes(&self, line: &Line) -> Bytes {
        match self.0.text.get(line.value.clone()) {
            Some([]) => Bytes::new(),
            Some(_) => self.0.text.slice(line.value.clone()),
            None => Bytes::copy_from_slice(self.value(line)),
        }
    }

    /// Writes a value behind all others; returns its place.
    fn write(&mut self, value: &[u8]) -> Range<usize> {
        let start = self.0.text.len() + self.0.written.len();
        self.0.written.extend_from_slice(value);
        start..start + value.len()
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

impl From<&Fields> for HeaderMap {
    fn from(fields: &Fields) -> Self {
        let mut map = Self::with_capacity(fields.0.lines.len() + 2);
        for line in &fields.0.lines {
            // What was read or written as a field is one for `http` too.
            let name = line.name.as_ref().and_then(Name::to_http);
            if let (Some(name), Ok(value)) =
                (name, HeaderValue::from_maybe_shared(fields.bytes(line)))
            {
                map.append(name, value);
            }
        }
        map
    }
}

/// Where each known name comes first, by its number: nowhere, at the place before this one, or
/// at [`FAR`] or behind it.
#[derive(Clone, Debug)]
struct Firsts([u8; KNOWN.len()]);

/// Where a field comes first.
enum First {
    Nowhere,
    At(usize),
    Far,
}

/// Places from here on are not kept.
const FAR: usize = 254;

impl Firsts {
    fn of(&self, number: usize) -> First {
        match self.0.get(number).map(|&first| usize::from(first)) {
            None | Some(0) => First::Nowhere,
            Some(first) if first > FAR => First::Far,
            Some(first) => First::At(first - 1),
        }
    }

    /// Keeps the place of a name, unless it came before; returns whether it did not.
    fn note(&mut self, number: usize, place: usize) -> bool {
        match self.0.get_mut(number) {
            Some(first) if *first == 0 => {
                *first = u8::try_from(place + 1).unwrap_or(u8::MAX);
                true
            }
            _ => false,
        }
    }

    fn forget(&mut self, number: usize) {
        if let Some(first) = self.0.get_mut(number) {
            *first = 0;
        }
    }
}

impl Default for Firsts {
    fn default() -> Self {
        Self([0; KNOWN.len()])
    }
}

/// A set of numbers of known names.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers([u64; KNOWN.len().div_ceil(64)]);

impl Numbers {
    fn contains(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    fn insert(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    fn remove(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word &= !(1 << (number % 64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    fn fields(lines: &[(&str, &'static str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(Name::read(name.as_bytes()).unwrap(), &Value::from_static(value));
        }
        fields
    }

    fn texts(fields: &Fields) -> Vec<String> {
        let line = |(name, value)| format!("{name}={}", String::from_utf8_lossy(value));
        fields.iter().map(line).collect()
    }

    #[test]
    fn a_field_is_found_by_its_name_in_any_case() {
        let fields =
            fields(&[("HOST", "a"), ("X-Own-Name", "b"), ("cookie", "c"), ("Cookie", "d")]);
        assert_eq!(fields.get(&names::HOST).unwrap(), b"a");
        assert_eq!(fields.get(&Name::read(b"x-own-name").unwrap()).unwrap(), b"b");
        assert_eq!(fields.get_all(&names::COOKIE).count(), 2);
        assert!(!fields.contains(&names::ACCEPT));
    }

    #[test]
    fn an_inserted_value_is_the_only_one_and_stands_where_the_first_stood() {
        let mut fields = fields(&[("cookie", "a"), ("host", "b"), ("cookie", "c"), ("x", "d")]);
        fields.insert(names::COOKIE, &Value::from_static("e"));
        fields.insert(names::ACCEPT, &Value::from_static("f"));
        assert_eq!(texts(&fields), ["cookie=e", "host=b", "x=d", "accept=f"]);
        fields.remove(&names::COOKIE);
        assert_eq!(texts(&fields), ["host=b", "x=d", "accept=f"]);
    }

    #[test]
    fn a_field_that_comes_twice_is_not_exactly_one() {
        for name in ["host", "x-own"] {
            let mut fields = fields(&[(name, "a"), (name, "a"), ("cookie", "b")]);
            let name = Name::read(name.as_bytes()).unwrap();
            let value = Value::from_static("a");
            assert!(!fields.is_exactly(&name, &value), "{name}");
            fields.insert(name.clone(), &value);
            assert!(fields.is_exactly(&name, &value), "{name}");
            fields.append(name.clone(), &value);
            assert!(!fields.is_exactly(&name, &value), "{name}");
            fields.remove(&name);
            assert!(!fields.contains(&name) && !fields.is_exactly(&name, &value), "{name}");
            fields.append(name.clone(), &value);
            assert!(fields.is_exactly(&name, &value), "{name}");
        }
    }

    #[test]
    fn a_field_is_found_however_many_are_before_it() {
        let mut fields = Fields::new();
        for _ in 0..300 {
            fields.append(Name::read(b"x-own").unwrap(), &Value::from_static("a"));
        }
        let before = fields.clone();
        fields.append(names::HOST, &Value::from_static("b"));
        assert_eq!(fields.get(&names::HOST).unwrap(), b"b");
        fields.insert(names::HOST, &Value::from_static("c"));
        assert_eq!(fields.get_all(&names::HOST).collect::<Vec<_>>(), [b"c"]);
        fields.remove(&names::HOST);
        assert_eq!((fields.get(&names::HOST), fields == before), (None, true));
    }

    proptest! {
        #[test]
        fn it_is_a_list(steps: Vec<(u8, u8, u8)>) {
            let all = ["host", "cookie", "x-own", "x-other"];
            let (mut fields, mut list) = (Fields::new(), Vec::<(&str, String)>::new());
            for (step, which, value) in steps {
                let text = all[usize::from(which % 4)];
                let name = Name::read(text.as_bytes()).unwrap();
                let value = Value::read(value.to_string()).unwrap();
                let own = String::from_utf8(value.as_bytes().to_vec()).unwrap();
                match step % 4 {
                    0 | 1 => {
                        fields.append(name, &value);
                        list.push((text, own));
                    }
                    2 => {
                        fields.insert(name, &value);
                        let first = list.iter().position(|line| line.0 == text);
                        match first {
                            Some(first) => list[first].1 = own,
                            None => list.push((text, own)),
                        }
                        let mut nth = 0;
                        list.retain(|line| line.0 != text || { nth += 1; nth == 1 });
                    }
                    _ => {
                        fields.remove(&name);
                        list.retain(|line| line.0 != text);
                    }
                }
                let wanted: Vec<_> = list.iter().map(|(name, value)| format!("{name}={value}")).collect();
                prop_assert_eq!(texts(&fields), wanted);
                for text in all {
                    let name = Name::read(text.as_bytes()).unwrap();
                    let own: Vec<_> = list.iter().filter(|line| line.0 == text).map(|line| line.1.as_bytes()).collect();
                    prop_assert_eq!(fields.get_all(&name).collect::<Vec<_>>(), own.clone());
                    prop_assert_eq!(fields.get(&name), own.first().copied());
                    prop_assert_eq!(fields.is_repeated(&name), own.len() > 1);
                }
            }
        }
    }

    #[test]
    fn what_is_kept_is_the_same_wherever_it_came_from() {
        let text = Bytes::from_static(b"Host: a");
        let mut fields = Fields::over(text.clone(), 1);
        fields.append_part(names::HOST, text.get(6..).unwrap());
        fields.append_part(names::VIA, b"");
        for (name, value) in [(names::COOKIE, "b=c"), (names::ACCEPT, "")] {
            fields.append(name, &Value::from_static(value));
        }
        let kept: Vec<_> = fields.iter().map(|(name, _)| fields.keep(name).unwrap()).collect();
        assert_eq!(kept, ["a", "", "b=c", ""]);
        assert_eq!(texts(&fields), ["host=a", "via=", "cookie=b=c", "accept="]);
        assert_eq!(fields.keep(&names::TE), None);
    }

    #[test]
    fn what_hyper_has_read_is_the_same() {
        let request = Request::builder().uri("/a").header("Host", "b").header("X-Y", "c, d");
        let head = Head::from(request.header("X-Y", "").body(()).unwrap().into_parts().0);
        assert_eq!(texts(&head.fields), ["host=b", "x-y=c, d", "x-y="]);
        assert_eq!(head.uri.path(), "/a");
    }
}
