//! The rules as YAML spells them, before anything is checked.
//!
//! Invariant: an unknown key is an error. Whether what is written makes sense is for `check.rs`.

use super::{ContentKind, Literal, Shape, ValueState};
use crucible_core::{BehaviorKind, Severity};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub(super) id: String,
    pub(super) severity: Severity,
    pub(super) group: String,
    pub(super) message: String,
    pub(super) does: String,
    pub(super) why: String,
    #[serde(default)]
    pub(super) references: RawReferences,
    pub(super) languages: Option<Vec<String>>,
    #[serde(default)]
    pub(super) foreshadows: Vec<BehaviorKind>,
    #[serde(rename = "match")]
    pub(super) matcher: RawMatcher,
    #[serde(default)]
    pub(super) tests: RawTests,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawReferences {
    pub(super) cwe: Vec<u32>,
    pub(super) attack: Vec<String>,
    pub(super) more: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTests {
    #[serde(rename = "match")]
    pub(super) matching: Vec<RawSample>,
    #[serde(rename = "no_match")]
    pub(super) not_matching: Vec<RawSample>,
}

/// A matcher: exactly one of the first group, with what belongs to it out of the second.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMatcher {
    pub(super) any: Option<Vec<RawMatcher>>,
    pub(super) all: Option<Vec<RawMatcher>>,
    pub(super) not: Option<Box<RawMatcher>>,
    pub(super) call: Option<OneOrMany<String>>,
    pub(super) import: Option<OneOrMany<String>>,
    pub(super) attribute: Option<OneOrMany<String>>,
    pub(super) text: Option<OneOrMany<String>>,
    pub(super) path: Option<OneOrMany<String>>,
    pub(super) assign: Option<OneOrMany<String>>,
    pub(super) command: Option<OneOrMany<String>>,
    pub(super) structure: Option<Shape>,
    pub(super) syntax_error: Option<bool>,
    pub(super) content: Option<OneOrMany<ContentKind>>,
    pub(super) yara: Option<String>,

    pub(super) arguments: Option<BTreeMap<String, RawTest>>,
    pub(super) value: Option<RawTest>,
    pub(super) piped_into: Option<OneOrMany<String>>,
    pub(super) redirected_to: Option<OneOrMany<String>>,
    pub(super) of: Option<OneOrMany<String>>,
}

/// One thing, or a list of them.
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrManyVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                let one = T::deserialize(serde::de::value::StrDeserializer::<E>::new(text))?;
                Ok(OneOrMany(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut many = Vec::new();
                while let Some(item) = items.next_element()? {
                    many.push(item);
                }
                Ok(OneOrMany(many))
            }
        }

        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

/// A scalar.
#[derive(Clone)]
pub(super) struct RawLiteral(pub(super) Literal);

struct LiteralVisitor;

impl Visitor<'_> for LiteralVisitor {
    type Value = RawLiteral;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true, false or null")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<RawLiteral, E> {
        Ok(RawLiteral(Literal::Bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<RawLiteral, E> {
        i32::try_from(value)
            .map(|value| RawLiteral(Literal::Number(f64::from(value))))
            .map_err(|_| E::custom("the number is out of range"))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<RawLiteral, E> {
        u32::try_from(value)
            .map(|value| RawLiteral(Literal::Number(f64::from(value))))
            .map_err(|_| E::custom("the number is out of range"))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<RawLiteral, E> {
        Ok(RawLiteral(Literal::Number(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<RawLiteral, E> {
        Ok(RawLiteral(Literal::Text(value.to_owned().into())))
    }

    fn visit_unit<E: Error>(self) -> Result<RawLiteral, E> {
        Ok(RawLiteral(Literal::Nothing))
    }
}

impl<'de> Deserialize<'de> for RawLiteral {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LiteralVisitor)
    }
}

/// A test of a value: a scalar that it equals, a list of which it equals one, or what is in [`RawValueTest`].
pub(super) enum RawTest {
    Equals(RawLiteral),
    OneOf(Vec<RawLiteral>),
    Test(Box<RawValueTest>),
}

/// Every test that is written down has to hold.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawValueTest {
    pub(super) equals: Option<RawLiteral>,
    pub(super) text: Option<OneOrMany<String>>,
    pub(super) glob: Option<OneOrMany<String>>,
    pub(super) name: Option<OneOrMany<String>>,
    pub(super) is: Option<OneOrMany<ValueState>>,
    pub(super) at_least: Option<RawLiteral>,
    pub(super) at_most: Option<RawLiteral>,
    pub(super) any: Option<Vec<RawTest>>,
    pub(super) not: Option<Box<RawTest>>,
}

impl<'de> Deserialize<'de> for RawTest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TestVisitor;

        impl<'de> Visitor<'de> for TestVisitor {
            type Value = RawTest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a constant, a list of constants, or tests such as text, glob, name, is, at_least")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<RawTest, E> {
                LiteralVisitor.visit_bool(value).map(RawTest::Equals)
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<RawTest, E> {
                LiteralVisitor.visit_i64(value).map(RawTest::Equals)
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<RawTest, E> {
                LiteralVisitor.visit_u64(value).map(RawTest::Equals)
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<RawTest, E> {
                LiteralVisitor.visit_f64(value).map(RawTest::Equals)
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<RawTest, E> {
                LiteralVisitor.visit_str(value).map(RawTest::Equals)
            }

            fn visit_unit<E: Error>(self) -> Result<RawTest, E> {
                LiteralVisitor.visit_unit().map(RawTest::Equals)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawTest, A::Error> {
                let mut literals = Vec::new();
                while let Some(literal) = items.next_element()? {
                    literals.push(literal);
                }
                Ok(RawTest::OneOf(literals))
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<RawTest, A::Error> {
                RawValueTest::deserialize(MapAccessDeserializer::new(entries)).map(|test| RawTest::Test(Box::new(test)))
            }
        }

        deserializer.deserialize_any(TestVisitor)
    }
}

/// A sample: a text in the rule's first language, or more about it.
pub(super) struct RawSample(pub(super) SampleFields);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SampleFields {
    pub(super) language: Option<String>,
    pub(super) text: Option<String>,
    pub(super) hex: Option<String>,
}

impl<'de> Deserialize<'de> for RawSample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SampleVisitor;

        impl<'de> Visitor<'de> for SampleVisitor {
            type Value = RawSample;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or language with text or hex")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawSample, E> {
                Ok(RawSample(SampleFields { text: Some(text.to_owned()), ..SampleFields::default() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<RawSample, A::Error> {
                SampleFields::deserialize(MapAccessDeserializer::new(entries)).map(RawSample)
            }
        }

        deserializer.deserialize_any(SampleVisitor)
    }
}
