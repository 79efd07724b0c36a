//! JSON objects whose members are read by name, without a copy of their values.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

use crate::json_strings::Text;

/// A value that should be an object. It is parsed with the rest of the event; its type is checked only if the event is handled.
#[derive(Default)]
pub(crate) enum Object<T> {
    /// Missing or null.
    #[default]
    Absent,
    Found(T),
    /// A value of another type.
    Wrong,
}

/// The members of an object with arbitrary names. There are at most a few dozen, for which a scan is faster than hashing.
#[derive(Default)]
pub struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<T: Default> Object<T> {
    /// The object; empty if it is missing. `None` if it is a value of another type.
    pub(crate) fn or_empty(self) -> Option<T> {
        match self {
            Object::Absent => Some(T::default()),
            Object::Found(found) => Some(found),
            Object::Wrong => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Shape<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object::Found)
            }

            fn visit_unit<E>(self) -> Result<Object<T>, E> {
                Ok(Object::Absent)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Object<T>, A::Error> {
                while values.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Object::Wrong)
            }

            fn visit_str<E>(self, _: &str) -> Result<Object<T>, E> {
                Ok(Object::Wrong)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Object<T>, E> {
                Ok(Object::Wrong)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Object<T>, E> {
                Ok(Object::Wrong)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Object<T>, E> {
                Ok(Object::Wrong)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Object<T>, E> {
                Ok(Object::Wrong)
            }
        }
        deserializer.deserialize_any(Shape(PhantomData))
    }
}

impl<'a> Members<'a> {
    /// The value of a member, a slice of the parsed text; the last one if the name occurs twice.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(known, _)| known.0 == name).map(|(_, value)| *value)
    }

    /// Whether the object has no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The members in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.0.as_ref(), *value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}
