//! What a producer sends besides control messages: frames, schemas, and items to read by them.

use bytes::{BufMut, Bytes};
use rivermesh_proto::{
    Seq,
    batch::{self, Batch, Builder, Frame, FrameError, HEADER, Header, Pick, Sequence},
    limits,
    schema::{self, Field, Schema, Variant, VariantShape},
};
use serde_json::Value;

/// Frames one after the other, as they follow an accepted subscription.
pub fn batch(mut data: &[u8]) {
    let mut sequence: Option<Sequence> = None;
    while let Some((header, rest)) = data.split_first_chunk::<HEADER>() {
        let Ok(Header { kind, len }) = Header::parse(*header) else {
            return;
        };
        assert!(HEADER + len <= limits::FRAME);
        // Where the body is cut off it must not be read as a whole one.
        let whole = rest.len() >= len;
        let body = &rest[..len.min(rest.len())];
        let frame = match Frame::parse(kind, Bytes::copy_from_slice(body)) {
            Ok(frame) => frame,
            Err(error) => {
                assert!(error.to_string().len() < 200);
                return;
            }
        };
        let bytes = &data[..HEADER + body.len()];
        let (from, to) = match &frame {
            Frame::Batch(batch) => {
                if kind == batch::Kind::Thinned {
                    check_thinned(batch, whole.then_some(bytes));
                } else {
                    check_batch(batch, whole.then_some(bytes));
                }
                (batch.first(), batch.end())
            }
            Frame::Redelivered(batch) => {
                // It stands outside of the order, wherever that is.
                let found = items(batch);
                assert!(!found.is_empty() && found.len() as u64 == u64::from(batch.count()));
                assert!(
                    found
                        .iter()
                        .all(|(seq, _)| (batch.first()..batch.end()).contains(seq))
                );
                data = &rest[body.len()..];
                continue;
            }
            Frame::Gap { from, to } => {
                assert!(whole && from < to);
                assert_eq!(batch::gap(*from, *to), bytes);
                (*from, *to)
            }
            Frame::End { code } => {
                assert!(whole);
                assert_eq!(batch::end(*code), bytes);
                return;
            }
            Frame::Filter { change, from } => {
                assert!(whole);
                assert_eq!(batch::filter(*change, *from), bytes);
                (*from, *from)
            }
            Frame::Refused(refusal) => {
                // A number has more than one encoding, so the bytes may be others.
                match batch::refused(refusal).map(|frame| Frame::parse(kind, frame.slice(HEADER..)))
                {
                    Ok(again) => assert_eq!(again.as_ref(), Ok(&frame)),
                    Err(error) => panic!("{refusal:?} was read and cannot be written: {error}"),
                }
                return;
            }
        };
        let sequence = sequence.get_or_insert_with(|| Sequence::at(from));
        let expected = sequence.next();
        match sequence.accept(&frame) {
            Ok(()) => assert_eq!((from, to), (expected, sequence.next())),
            Err(error) => {
                let got = from;
                assert_eq!(error, FrameError::OutOfSequence { expected, got });
                assert!(got != expected && sequence.next() == expected);
            }
        }
        data = &rest[body.len()..];
    }
}

/// A batch has the items it says, is written again to the same bytes, and can be cut anywhere.
fn check_batch(batch: &Batch, frame: Option<&[u8]>) {
    let items = items(batch);
    assert_eq!(items.len() as u64, u64::from(batch.count()));
    assert_eq!(items.len() as u64, batch.end() - batch.first());
    let mut builder = Builder::new(64);
    for ((seq, item), expected) in items.iter().zip(batch.first()..) {
        assert!(item.len() <= limits::ITEM && *seq == expected);
        let put = builder.push(|buffer| {
            buffer.put_slice(item);
            Ok::<_, std::convert::Infallible>(())
        });
        assert!(put.is_ok());
    }
    let again = builder.seal(batch.first(), batch.sent_at_us());
    let again = again.unwrap_or_else(|| panic!("{batch:?} has no items"));
    assert_eq!(again[HEADER..], batch.body()[..]);
    assert!(frame.is_none_or(|frame| again == frame));
    let (first, end) = (batch.first(), batch.end());
    for seq in [0, first, first + (end - first) / 2, end - 1, end, Seq::MAX] {
        let Some(frame) = batch.frame_from(seq) else {
            assert!(seq >= end);
            continue;
        };
        let Some(rest) = Batch::of_frame(&frame) else {
            panic!("{batch:?} from {seq} is no frame: {frame:?}");
        };
        let skip = usize::try_from(seq.saturating_sub(first)).unwrap_or(usize::MAX);
        assert_eq!(self::items(&rest), items[skip..]);
        assert_eq!((rest.end(), rest.sent_at_us()), (end, batch.sent_at_us()));
    }
}

/// A batch that a filter has thinned out says of each number of its range whether it has the item, and
/// is written to the same bytes when its items are picked from the whole of them.
fn check_thinned(thin: &Batch, frame: Option<&[u8]>) {
    let items = items(thin);
    assert_eq!(items.len() as u64, u64::from(thin.count()));
    assert_eq!(
        thin.end() - thin.first() - items.len() as u64,
        thin.filtered()
    );
    assert!(items.is_sorted_by(|a, b| a.0 < b.0));
    assert!(
        items
            .iter()
            .all(|(seq, _)| (thin.first()..thin.end()).contains(seq))
    );
    let mut whole = Builder::new(64);
    let picks: Vec<Pick> = items
        .iter()
        .map(|(seq, item)| {
            let offset = whole.offset();
            let put = whole.push(|buffer| {
                buffer.put_slice(item);
                Ok::<_, std::convert::Infallible>(())
            });
            assert!(put.is_ok());
            Pick { seq: *seq, offset }
        })
        .collect();
    if let Some(whole) = whole.seal(0, thin.sent_at_us()) {
        let again = batch::thinned(&whole, thin.first()..thin.end(), picks.into_iter());
        assert!(frame.is_none_or(|frame| again.as_deref() == Some(frame)));
    }
}

fn items(batch: &Batch) -> Vec<(Seq, &[u8])> {
    let mut position = batch.start();
    let items = std::iter::from_fn(|| batch.next(&mut position)).collect();
    assert!(batch.next(&mut position).is_none());
    assert_eq!(position.index(), batch.count());
    items
}

/// The bytes of a schema.
pub fn schema(data: &[u8]) {
    let schema = match Schema::from_bytes(data) {
        Ok(schema) => schema,
        Err(error) => return check_text(&error.to_string(), data.len()),
    };
    assert!(data.len() <= limits::SCHEMA);
    assert_eq!(schema.to_bytes(), data, "a schema has one spelling");
    assert_eq!(schema.validate(), Ok(()));
    check_text(&schema.to_string(), data.len());
    assert_eq!(schema::diff(&schema, &schema), None);
    // The first is a seed, so that there are mutations that differ from it in one place.
    for known in [reading(), Schema::Text] {
        assert_eq!(known == schema, known.fingerprint() == schema.fingerprint());
        for (ours, theirs) in [(&known, &schema), (&schema, &known)] {
            let difference = schema::diff(ours, theirs);
            assert_eq!(difference.is_none(), ours == theirs);
            if let Some(difference) = difference {
                check_text(&difference.to_string(), data.len() + 64);
            }
        }
    }
}

/// What a person may be shown is in proportion to `bytes`, and cannot drive a terminal.
fn check_text(text: &str, bytes: usize) {
    assert!(text.len() <= 256 + 16 * bytes, "{bytes} bytes: {text}");
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

fn reading() -> Schema {
    let field = |name: &str, schema| Field {
        name: name.to_owned(),
        schema,
    };
    Schema::Struct {
        name: "Reading".to_owned(),
        fields: vec![
            field("origin", Schema::String),
            field("temp", Schema::F32),
            field("gust", Schema::Option(Box::new(Schema::F64))),
        ],
    }
}

/// A schema's length (`u16`, little endian), the schema, and an item to read by it.
pub fn json(data: &[u8]) {
    let Some((len, rest)) = data.split_first_chunk() else {
        return;
    };
    let len = usize::from(u16::from_le_bytes(*len));
    let Some((schema, item)) = rest.split_at_checked(len) else {
        return;
    };
    let Ok(schema) = Schema::from_bytes(schema) else {
        return;
    };
    let value = match schema::json::decode(&schema, item) {
        Ok(value) => value,
        Err(error) => return check_text(&error.to_string(), data.len()),
    };
    match &schema {
        // The content is that of the text; its size is that of any JSON.
        Schema::Json => return,
        Schema::Text => assert_eq!(value.as_str().map(str::as_bytes), Some(item)),
        Schema::Raw => assert_eq!(bytes_of(&value), item),
        Schema::Opaque { name } => panic!("an item of {name} was read"),
        schema => {
            let mut again = Vec::new();
            write(schema, &value, &mut again);
            assert!(again.len() <= item.len());
            match schema::json::decode(schema, &again) {
                Ok(back) => assert_eq!(back, value),
                Err(error) => panic!("{value} was read and is not read again: {error}"),
            }
        }
    }
    let most = (64 * 1024 + 1024 * item.len()).min(128 * limits::ITEM);
    assert!(weight(&value) <= most, "{} bytes of item", item.len());
}

/// Bytes of a value, and of a field of an object, where objects are B-trees. (With serde_json's
/// `preserve_order`, which another crate of the build may turn on, both are larger, and an object
/// takes no more than a node of such a tree until it has six fields.)
const VALUE: usize = 32;
const FIELD: usize = 56;

/// Bytes that a value takes, at least.
fn weight(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(weight).sum(),
        Value::Object(fields) => {
            let content: usize = fields.iter().map(|(k, v)| k.len() + weight(v)).sum();
            // A B-tree's nodes have room for eleven.
            let nodes = fields.len().div_ceil(11) * 11 * FIELD;
            nodes + content - fields.len() * VALUE
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    VALUE + inside
}

/// The item as postcard would write it: the inverse of the decoder, by its documentation.
fn write(schema: &Schema, value: &Value, out: &mut Vec<u8>) {
    match schema {
        Schema::Unit | Schema::UnitStruct { .. } => assert!(value.is_null()),
        Schema::Bool => out.push(value.as_bool().map_or(9, u8::from)),
        Schema::I8 => out.extend((number(value) as i8).to_le_bytes()),
        Schema::U8 => out.extend((number(value) as u8).to_le_bytes()),
        Schema::I16 | Schema::I32 | Schema::I64 | Schema::I128 => {
            let number = number(value);
            varint((number << 1 ^ number >> 127) as u128, out);
        }
        Schema::U16 | Schema::U32 | Schema::U64 => varint(number(value) as u128, out),
        Schema::U128 => varint(digits(value), out),
        Schema::F32 => out.extend((float(value) as f32).to_le_bytes()),
        Schema::F64 => out.extend(float(value).to_le_bytes()),
        Schema::Char | Schema::String => {
            let text = value.as_str().unwrap_or_else(|| panic!("{value}"));
            put(text.as_bytes(), out);
        }
        Schema::Bytes => put(&bytes_of(value), out),
        Schema::Option(_) if value.is_null() => out.push(0),
        Schema::Option(inner) => {
            out.push(1);
            write(inner, value, out);
        }
        Schema::Seq(element) => {
            let elements = array(value);
            varint(elements.len() as u128, out);
            elements.iter().for_each(|e| write(element, e, out));
        }
        Schema::Map(key, inner) => {
            if let Value::Object(entries) = value {
                varint(entries.len() as u128, out);
                for (name, entry) in entries {
                    put(name.as_bytes(), out);
                    write(inner, entry, out);
                }
            } else {
                varint(array(value).len() as u128, out);
                for pair in array(value) {
                    write(key, &pair[0], out);
                    write(inner, &pair[1], out);
                }
            }
        }
        Schema::Tuple(parts) | Schema::TupleStruct { fields: parts, .. } => {
            write_parts(parts, value, out);
        }
        Schema::Struct { fields, .. } => write_fields(fields, value, out),
        Schema::NewType { inner, .. } => write(inner, value, out),
        Schema::Enum { variants, .. } => write_variant(variants, value, out),
        other => panic!("{other} inside of another shape"),
    }
}

fn write_variant(variants: &[Variant], value: &Value, out: &mut Vec<u8>) {
    let (name, content) = match value {
        Value::String(name) => (name, &Value::Null),
        Value::Object(one) if one.len() == 1 => match one.iter().next() {
            Some(pair) => pair,
            None => unreachable!("it has one"),
        },
        other => panic!("{other} is no variant"),
    };
    let Some(variant) = variants.iter().find(|variant| variant.name == *name) else {
        panic!("no variant {name}");
    };
    varint(variant.index.into(), out);
    match &variant.shape {
        VariantShape::Unit => assert!(value.is_string()),
        VariantShape::NewType(inner) => write(inner, content, out),
        VariantShape::Tuple(parts) => write_parts(parts, content, out),
        VariantShape::Struct(fields) => write_fields(fields, content, out),
    }
}

fn write_parts(parts: &[Schema], value: &Value, out: &mut Vec<u8>) {
    assert_eq!(array(value).len(), parts.len());
    for (part, value) in parts.iter().zip(array(value)) {
        write(part, value, out);
    }
}

fn write_fields(fields: &[Field], value: &Value, out: &mut Vec<u8>) {
    assert_eq!(
        value.as_object().map(serde_json::Map::len),
        Some(fields.len())
    );
    for field in fields {
        write(&field.schema, &value[field.name.as_str()], out);
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value}"))
}

fn bytes_of(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_else(|| panic!("{value}"));
    match data_encoding::BASE64.decode(text.as_bytes()) {
        Ok(bytes) => bytes,
        Err(error) => panic!("{value}: {error}"),
    }
}

fn number(value: &Value) -> i128 {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    text.parse().unwrap_or_else(|_| panic!("{value}"))
}

fn digits(value: &Value) -> u128 {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    text.parse().unwrap_or_else(|_| panic!("{value}"))
}

fn float(value: &Value) -> f64 {
    match value.as_str() {
        Some("NaN") => f64::NAN,
        Some("Infinity") => f64::INFINITY,
        Some("-Infinity") => f64::NEG_INFINITY,
        _ => value.as_f64().unwrap_or_else(|| panic!("{value}")),
    }
}

fn put(bytes: &[u8], out: &mut Vec<u8>) {
    varint(bytes.len() as u128, out);
    out.extend(bytes);
}

fn varint(mut number: u128, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
