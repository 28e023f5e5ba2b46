//! JSON as a signer must have meant it: a member that occurs twice, at any depth, makes the whole text invalid.
//!
//! Two readers of such a text may each see another value, and only one of them is the one that was checked.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// How deep objects and lists may lie in each other. Claims that providers send need four.
const DEEPEST: u8 = 16;
/// Up to so many members are compared with each other; more are looked up.
const FEW: usize = 16;

#[derive(Debug, PartialEq)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    /// A number with a fraction or an exponent, or one that is too large for an integer. It is finite.
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// None: it is not one JSON value in UTF-8, or an object has a member twice, or it is nested too deep.
    pub fn read(text: &'a [u8]) -> Option<Json<'a>> {
        let mut from = serde_json::Deserializer::from_slice(text);
        let value = Value { deeper: DEEPEST }.deserialize(&mut from).ok()?;
        from.end().ok()?;
        Some(value)
    }

    /// The member of an object. None as well if this is no object.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(members) => members.iter().find(|(each, _)| each == name).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
struct Value {
    deeper: u8,
}

impl Value {
    fn inside<E: Error>(self) -> Result<Value, E> {
        let deeper = self.deeper.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Value { deeper })
    }
}

impl<'a> DeserializeSeed<'a> for Value {
    type Value = Json<'a>;
    fn deserialize<D: Deserializer<'a>>(self, from: D) -> Result<Json<'a>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Value {
    type Value = Json<'a>;

    fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json<'a>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json<'a>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json<'a>, E> {
        Ok(Json::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json<'a>, E> {
        Ok(i64::try_from(value).map_or(Json::Float(value as f64), Json::Integer))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json<'a>, E> {
        if value.is_finite() { Ok(Json::Float(value)) } else { Err(E::custom("not a finite number")) }
    }

    fn visit_borrowed_str<E: Error>(self, value: &'a str) -> Result<Json<'a>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json<'a>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut from: A) -> Result<Json<'a>, A::Error> {
        let inside = self.inside()?;
        let mut list = Vec::new();
        while let Some(value) = from.next_element_seed(inside)? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut from: A) -> Result<Json<'a>, A::Error> {
        let inside = self.inside()?;
        let mut members: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        while let Some(name) = from.next_key_seed(Name)? {
            if members.len() < FEW && members.iter().any(|(each, _)| *each == name) {
                return Err(A::Error::custom("a member occurs twice"));
            }
            members.push((name, from.next_value_seed(inside)?));
        }
        let mut names = HashSet::new();
        if members.len() > FEW && !members.iter().all(|(name, _)| names.insert(name)) {
            return Err(A::Error::custom("a member occurs twice"));
        }
        Ok(Json::Object(members))
    }
}

struct Name;

impl<'a> DeserializeSeed<'a> for Name {
    type Value = Cow<'a, str>;
    fn deserialize<D: Deserializer<'a>>(self, from: D) -> Result<Cow<'a, str>, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Name {
    type Value = Cow<'a, str>;

    fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str("the name of a member")
    }

    fn visit_borrowed_str<E: Error>(self, value: &'a str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_read() {
        let read =
            Json::read(br#" {"a": [1, -2.5, true, null, "x\u0041"], "b": {"c": 18446744073709551615}} "#).unwrap();
        let list = vec![Json::Integer(1), Json::Float(-2.5), Json::Bool(true), Json::Null, Json::Text("xA".into())];
        assert_eq!(read.get("a"), Some(&Json::List(list)));
        assert_eq!(read.get("b").unwrap().get("c"), Some(&Json::Float(18446744073709551615.0)));
        assert_eq!(Json::read(b"1").unwrap().get("a"), None);
    }

    #[test]
    fn what_two_readers_may_read_differently_is_refused() {
        for text in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": 1, "\u0061": 2}"#,
            r#"{"b": {"a": 1, "a": 2}}"#,
            r#"[[{"a": 1, "a": 2}]]"#,
            r#"{"a": 1e400}"#,
            r#"{"a": NaN}"#,
            r#"{"a": Infinity}"#,
            r#"{"a": 01}"#,
            r#"{"a": "\ud800"}"#,
            r#"{"a": 1,}"#,
            r#"{"a": 1} {}"#,
            r#"{'a': 1}"#,
            r#"{"a": 1} // x"#,
            "\u{feff}{}",
            "",
        ] {
            assert_eq!(Json::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Json::read(b"{\"a\": \"\xff\"}"), None);
        assert!(Json::read("[".repeat(16).as_bytes()).is_none());
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::read(nested(16).as_bytes()).is_some() && Json::read(nested(17).as_bytes()).is_none());
        assert!(Json::read(nested(8000).as_bytes()).is_none());
    }

    #[test]
    fn a_member_that_occurs_twice_among_many_is_found() {
        let object = |names: Vec<String>| format!("{{{}}}", names.join(","));
        for count in [2, FEW, FEW + 1, FEW + 2, 1000] {
            let mut names: Vec<_> = (0..count).map(|index| format!("\"m{index}\": 1")).collect();
            assert!(Json::read(object(names.clone()).as_bytes()).is_some(), "{count}");
            names.push("\"m0\": 2".to_owned());
            assert!(Json::read(object(names).as_bytes()).is_none(), "{count}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_agrees_with_serde(text in "[\\[\\]{}\",:0-9a-c\\\\ue.+-]{0,60}") {
            if let Some(read) = Json::read(text.as_bytes()) {
                let other: serde_json::Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(read.text(), other.as_str());
            }
        }
    }
}
