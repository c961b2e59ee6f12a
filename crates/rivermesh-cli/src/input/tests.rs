use std::io::Write;

use proptest::prelude::*;
use serde_json::json;

use super::{columns::Kind, *};

fn input(bytes: impl Into<Vec<u8>>, format: Option<InputFormat>) -> Input {
    Input::from_source(Box::new(Cursor::new(bytes.into())), format, 1000).unwrap()
}

fn all(mut input: Input) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some(record) = input.next().unwrap() {
        records.push(record);
    }
    records
}

fn kinds(csv: &str, sample: usize) -> Vec<Kind> {
    let source: Source = Box::new(Cursor::new(csv.as_bytes().to_vec()));
    Table::new(source, sample)
        .unwrap()
        .columns()
        .kinds()
        .to_vec()
}

#[test]
fn formats_are_detected() {
    use InputFormat::{Csv, Json, Lines};
    for (text, format) in [
        ("hello\nworld\n", Lines),
        ("hello, world\nhow, are you\n", Lines),
        ("one,two\nonly one\n", Lines),
        ("1,2\n3,4\n", Lines),
        ("same,same\n1,2\n", Lines),
        ("", Lines),
        ("{\"a\":1}\n", Json),
        ("  {\"a\":1}\n", Json),
        ("a,b\n1,2\n", Csv),
        ("a,b\r\n1,\"x,y\"\r\n", Csv),
        ("a,b\n", Lines),
    ] {
        assert_eq!(input(text, None).format(), format, "{text:?}");
    }
    for (name, format) in [
        ("x.csv", Some(Csv)),
        ("x.CSV.gz", Some(Csv)),
        ("x.jsonl", Some(Json)),
        ("x.ndjson.gz", Some(Json)),
        ("x.json", Some(Json)),
        ("x.txt", None),
        ("csv", None),
    ] {
        assert_eq!(detect::by_extension(Path::new(name)), format, "{name}");
    }
}

#[test]
fn what_was_read_to_detect_is_not_lost() {
    assert_eq!(
        all(input("one,two\nthree\n", None)),
        [
            Ok(Item::Text("one,two".into())),
            Ok(Item::Text("three".into()))
        ]
    );
    assert_eq!(
        all(input("a,b\n1,2\n", None)),
        [Ok(Item::Json(json!({"a": 1, "b": 2})))]
    );
}

#[test]
fn lines_lose_their_ends_and_marks() {
    assert_eq!(
        all(input("\u{feff}one\r\n\ntwo", None)),
        ["one", "", "two"].map(|l| Ok(Item::Text(l.to_owned())))
    );
}

#[test]
fn gzip_is_known_by_its_bytes() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"a,b\nx,true\n").unwrap();
    let zipped = encoder.finish().unwrap();
    let zipped = input(zipped, None);
    assert_eq!(zipped.format(), InputFormat::Csv);
    assert_eq!(all(zipped), [Ok(Item::Json(json!({"a": "x", "b": true})))]);
}

#[test]
fn bad_lines_are_named_and_passed_over() {
    let long = "x".repeat(MAX_LINE_BYTES + 10);
    let records = all(input(
        [b"ok\n", long.as_bytes(), b"\n\xff\nend"].concat(),
        Some(InputFormat::Lines),
    ));
    assert_eq!(records.len(), 4);
    assert_eq!(records[1].as_ref().unwrap_err().line, 2);
    assert_eq!(
        records[2].as_ref().unwrap_err().to_string(),
        "line 3: not UTF-8 after byte 0"
    );
    assert_eq!(records[3], Ok(Item::Text("end".into())));

    let json = all(input("{\"a\":1}\n\n{\"a\":}\n[1]\n", None));
    assert_eq!(json[0], Ok(Item::Json(json!({"a": 1}))));
    let bad = json[1].as_ref().unwrap_err();
    assert_eq!(
        bad.to_string(),
        "line 3: not JSON: expected value at column 6"
    );
    assert_eq!(json[2], Ok(Item::Json(json!([1]))));
    let spread = all(input("{\n", None));
    assert!(spread[0].as_ref().unwrap_err().reason.contains("jq -c"));
}

#[test]
fn a_row_of_the_wrong_length_is_bad_and_the_next_is_read() {
    let records = all(input("a,b\n1,2\n3\n4,5\n", None));
    assert_eq!(
        records[1].as_ref().unwrap_err().to_string(),
        "line 3: 1 fields where the header has 2"
    );
    assert_eq!(records[2], Ok(Item::Json(json!({"a": 4, "b": 5}))));
}

#[test]
fn columns_have_the_narrowest_type() {
    use Kind::{Bool, Float, Integer, Text, Unknown};
    assert_eq!(
        kinds(
            "i,f,b,s,n,zip,big,mixed\n\
             1,1,true,x,NA,0017,99999999999999999999,true\n\
             -2,2.5,False,1,,0018,1,1\n",
            10
        ),
        [Integer, Float, Bool, Text, Unknown, Text, Text, Text]
    );
    for (field, kind) in [
        ("0", Integer),
        ("-0.5", Float),
        ("1e5", Float),
        ("1e999", Text),
        ("inf", Text),
        ("nan", Text),
        ("+1", Text),
        ("-", Text),
        ("0.5", Float),
        ("2013-01-01", Text),
    ] {
        assert_eq!(kinds(&format!("a,b\n{field},1\n"), 1)[0], kind, "{field}");
    }
}

#[test]
fn what_does_not_fit_later_is_text_and_counted() {
    let csv = "i,f,late\n1,1.5,NA\n2,2,7\nx,3,8\n2.5,?,y\n";
    let mut input =
        Input::from_source(Box::new(Cursor::new(csv)), Some(InputFormat::Csv), 1).unwrap();
    let mut rows = Vec::new();
    while let Some(Ok(Item::Json(row))) = input.next().unwrap() {
        rows.push(row);
    }
    assert_eq!(
        rows,
        [
            json!({"i": 1, "f": 1.5, "late": null}),
            json!({"i": 2, "f": 2.0, "late": 7}),
            json!({"i": "x", "f": 3.0, "late": 8}),
            json!({"i": 2.5, "f": "?", "late": "y"}),
        ]
    );
    assert_eq!(input.misfits(), 3);
}

#[test]
fn the_shipped_weather_reads_as_typed_rows() {
    let source = Cursor::new(rivermesh_weather::WEATHER_GZ);
    let mut input = Input::from_source(Box::new(source), None, 1000).unwrap();
    assert_eq!(input.format(), InputFormat::Csv);
    let Some(Ok(Item::Json(first))) = input.next().unwrap() else {
        panic!("no first row");
    };
    assert_eq!(first["origin"], "EWR");
    assert_eq!(first["temp"], 39.02);
    assert_eq!(first["year"], 2013);
    assert_eq!(first["wind_gust"], Value::Null);
    let mut rows = 1;
    while let Some(row) = input.next().unwrap() {
        row.unwrap();
        rows += 1;
    }
    assert_eq!((rows, input.misfits()), (26_115, 0));
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_their_end(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for format in [InputFormat::Lines, InputFormat::Json, InputFormat::Csv] {
            let source = Box::new(Cursor::new(bytes.clone()));
            if let Ok(mut input) = Input::from_source(source, Some(format), 3) {
                while let Ok(Some(_)) = input.next() {}
            }
        }
    }

    #[test]
    fn every_row_keeps_every_field(rows in proptest::collection::vec(
        ("[0-9]{0,4}", "-?[0-9]{1,3}(\\.[0-9]{1,2})?", "(true|false|NA|)"), 1..30), sample in 1_usize..10) {
        let mut csv = String::from("a,b,c\n");
        for (a, b, c) in &rows {
            csv.push_str(&format!("{a},{b},{c}\n"));
        }
        let mut input = Input::from_source(
            Box::new(Cursor::new(csv)), Some(InputFormat::Csv), sample).unwrap();
        for (a, b, _) in &rows {
            let Some(Ok(Item::Json(row))) = input.next().unwrap() else { panic!("lost") };
            match &row["a"] {
                Value::Null => prop_assert_eq!(a, ""),
                Value::String(text) => prop_assert_eq!(text, a),
                number => prop_assert_eq!(number.as_f64().unwrap(), a.parse::<f64>().unwrap()),
            }
            match &row["b"] {
                Value::String(text) => prop_assert_eq!(text, b),
                number => prop_assert_eq!(number.as_f64().unwrap(), b.parse::<f64>().unwrap()),
            }
        }
        prop_assert!(input.next().unwrap().is_none());
    }
}
