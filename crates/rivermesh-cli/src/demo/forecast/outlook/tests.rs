use super::*;

fn outlook() -> Outlook {
    Outlook::new(&[("EWR", 100), ("JFK", 100)])
}

fn sent(count: u64, done: bool) -> Word {
    let behind = count / 4;
    Word::Sent {
        count,
        behind,
        done,
    }
}

#[test]
fn complete_when_all_is_sent_and_both_books_are_in() {
    let mut outlook = outlook();
    outlook.begin(1_000);
    assert!(outlook.has_begun());
    outlook.handle("EWR", sent(100, true));
    outlook.handle("JFK", sent(99, false));
    outlook.handle("forecaster", Word::ForecastBooks(Books::default()));
    outlook.handle("alert", Word::AlertBooks(Alerts::default()));
    outlook.clock(2_000);
    assert!(!outlook.is_complete());
    assert_eq!(outlook.took_us(), None);
    outlook.handle("JFK", sent(100, true));
    outlook.clock(5_000);
    assert!(outlook.is_complete());
    outlook.clock(9_000);
    assert_eq!(outlook.took_us(), Some(4_000));
    assert_eq!(outlook.sent(), (200, 50));
}

#[test]
fn whatever_moves_is_progress() {
    let mut outlook = outlook();
    let mut before = outlook.progress();
    let forecast = |hours, late| {
        Word::Forecast(Progress {
            hours,
            late,
            ..Progress::default()
        })
    };
    let filtered = Alerts {
        filtered: 3,
        ..Alerts::default()
    };
    for (who, word) in [
        ("JFK", sent(1, false)),
        ("forecaster", forecast(1, 0)),
        ("forecaster", forecast(1, 1)),
        ("alert", Word::Alerts(filtered)),
        ("forecaster", Word::ForecastBooks(Books::default())),
    ] {
        outlook.handle(who, word);
        assert!(outlook.progress() > before);
        before = outlook.progress();
    }
}

#[test]
fn says_what_is_lacking() {
    let mut outlook = outlook();
    outlook.handle("EWR", sent(100, true));
    outlook.handle("JFK", sent(40, false));
    assert_eq!(outlook.silent(), ["forecaster", "alert"]);
    assert_eq!(
        outlook.lacking(),
        "JFK has sent 40 of 100 again; the forecaster has grouped 0 hours (0 late) and is not through; \
         the alert node has heard of 0 predictions and is not through"
    );
    outlook.handle("JFK", sent(100, true));
    outlook.handle("forecaster", Word::ForecastBooks(Books::default()));
    outlook.handle("alert", Word::AlertBooks(Alerts::default()));
    assert_eq!(outlook.lacking(), "");
    assert!(outlook.silent().is_empty());
}

#[test]
fn late_and_missing_hours_are_told() {
    let mut outlook = outlook();
    // 2013-01-01 06:00 UTC.
    let hour = 1_357_020_000 / 3600;
    let missing = |to, stations: &[&str]| Word::Missing {
        from: hour,
        to,
        stations: stations.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(
        outlook.handle("forecaster", missing(hour + 1, &["EWR"])),
        Some("missing  2013-01-01 06:00  EWR".to_owned())
    );
    assert_eq!(
        outlook.handle("forecaster", missing(hour + 3, &["EWR", "JFK"])),
        Some("missing  2013-01-01 06:00  EWR, JFK and 2 more hours".to_owned())
    );
    let late = Word::Late {
        station: "JFK".into(),
        hour,
    };
    assert_eq!(
        outlook.handle("forecaster", late),
        Some("late     2013-01-01 06:00  JFK: too late for its hour".to_owned())
    );
}

#[test]
fn the_table_shows_everybody() {
    let mut outlook = outlook();
    outlook.handle("EWR", sent(40, false));
    let newest = Outlined {
        hour: 1_357_020_000 / 3600,
        temp: Some(38.94),
        trend: Some(-0.25),
        rain: Some(0.981),
    };
    let progress = Progress {
        hours: 12,
        grouped: 30,
        late: 1,
        missing: 6,
        newest: Some(newest.clone()),
    };
    outlook.handle("forecaster", Word::Forecast(progress));
    let mut alerts = Alerts {
        filtered: 11,
        newest: Some(newest),
        ..Alerts::default()
    };
    alerts.hours.insert(5, 6);
    outlook.handle("alert", Word::Alerts(alerts));
    insta::assert_snapshot!(outlook.lines().join("\n"));
}
