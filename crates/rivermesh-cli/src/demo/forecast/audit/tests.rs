use std::time::Duration;

use futures::{StreamExt, stream};
use rivermesh_weather::{Delays, Prediction, STATIONS, delayed, group, readings_of};

use super::*;
use crate::demo::forecast::{again, desk::Desk, wire::Word};

type Truth = Vec<(&'static str, Vec<Reading>)>;

fn truth() -> Truth {
    let rows = |station| {
        let mut rows = readings_of(station).unwrap();
        rows.truncate(800);
        (station, rows)
    };
    STATIONS.map(rows).into()
}

/// What the forecaster and the alert node would write down; many readings are too late.
async fn scene(truth: &Truth) -> (Vec<Word>, Books, Alerts) {
    let coming = truth.iter().map(|(station, rows)| {
        let delays = Delays {
            lost_for_a_day: 200,
            ..again::delays(station)
        };
        stream::iter(delayed(rows, delays))
    });
    let coming = stream::select_all(coming);
    let hour = Duration::from_secs(3600);
    let grouped = group(coming, hour * 6, Duration::from_secs(10));
    let (hours, late) = tokio::join!(
        grouped.hours.collect::<Vec<_>>(),
        grouped.late.collect::<Vec<_>>()
    );
    let (mut desk, mut news, mut alerts) = (Desk::default(), Vec::new(), Alerts::default());
    for hour in &hours {
        let (prediction, told) = desk.hour(hour);
        news.extend(told);
        deliver(&prediction, &mut alerts);
    }
    news.extend(late.iter().map(|reading| desk.late(reading)));
    let (told, books) = desk.close();
    news.extend(told);
    (news, books, alerts)
}

fn deliver(prediction: &Prediction, alerts: &mut Alerts) {
    if prediction.is_alert() {
        alerts.take(prediction);
    } else {
        alerts.filtered += 1;
    }
}

#[tokio::test]
async fn a_good_run_is_clean_and_everything_is_told() {
    let truth = truth();
    let (news, books, alerts) = scene(&truth).await;
    let findings = audit(&truth, &books, &alerts);
    assert!(findings.is_clean(), "{findings:?}");
    let total = &findings.total;
    assert_eq!(total.grouped + total.late, 2400);
    assert!(total.late > 20 && findings.alerts > 0 && findings.filtered > 0);
    assert_eq!(
        findings.hours,
        findings.complete + findings.partial + findings.empty
    );
    assert_eq!(findings.hours, findings.alerts + findings.filtered);
    assert_eq!(total.grouped + total.missing, 3 * findings.hours);
    // What was told while it ran is what the books say.
    let told: u64 = news
        .iter()
        .map(|word| match word {
            Word::Missing { from, to, stations } => (to - from) * stations.len() as u64,
            _ => 0,
        })
        .sum();
    assert_eq!(told, total.missing);
    let late = news.iter().filter(|word| matches!(word, Word::Late { .. }));
    assert_eq!(late.count() as u64, total.late);
}

#[tokio::test]
async fn each_seeded_fault_is_found() {
    let truth = truth();
    let (_, books, alerts) = scene(&truth).await;
    let hour = books.stations["JFK"].grouped.numbers().nth(100).unwrap();
    let reading = truth[1]
        .1
        .iter()
        .find(|reading| number(reading.at_secs) == hour);
    let digest = reading.unwrap().digest(hour);
    let without = |ranges: &crate::demo::ranges::Ranges, hour: u64| {
        let mut rest = crate::demo::ranges::Ranges::default();
        for number in ranges.numbers().filter(|number| *number != hour) {
            rest.insert(number, number + 1);
        }
        rest
    };
    let findings = |fault: &dyn Fn(&mut Books, &mut Alerts)| {
        let (mut books, mut alerts) = (books.clone(), alerts.clone());
        fault(&mut books, &mut alerts);
        let findings = audit(&truth, &books, &alerts);
        assert!(!findings.is_clean());
        findings
    };
    // A reading is lost, and honestly missing.
    let lost = findings(&|books, _| {
        let jfk = books.stations.get_mut("JFK").unwrap();
        jfk.grouped = without(&jfk.grouped, hour);
        jfk.missing.insert(hour, hour + 1);
        jfk.digest = jfk.digest.wrapping_sub(digest);
    });
    assert_eq!((lost.total.unaccounted, lost.total.corrupt), (1, 0));
    // It was changed on the way.
    let changed = findings(&|books, _| books.stations.get_mut("JFK").unwrap().digest += 1);
    assert_eq!((changed.total.corrupt, changed.total.unaccounted), (1, 0));
    // It is in its hour and late, too.
    let twice = findings(&|books, _| {
        books
            .stations
            .get_mut("JFK")
            .unwrap()
            .late
            .insert(hour, hour + 1);
    });
    assert_eq!(twice.total.repeated, 1);
    // Its hour names it as missing.
    let misnamed = findings(&|books, _| {
        books
            .stations
            .get_mut("JFK")
            .unwrap()
            .missing
            .insert(hour, hour + 1);
    });
    assert_eq!(misnamed.total.misnamed, 1);
    // An hour in which it is missing does not say so.
    let hidden = findings(&|books, _| {
        let jfk = books.stations.get_mut("JFK").unwrap();
        let first = jfk.missing.numbers().next().unwrap();
        jfk.missing = without(&jfk.missing, first);
    });
    assert_eq!(hidden.total.misnamed, 1);
    // An alert does not arrive, or one that was not asked for does.
    let unheard = findings(&|_, alerts| {
        let first = alerts.hours.numbers().next().unwrap();
        alerts.hours = without(&alerts.hours, first);
    });
    assert!(unheard.misdelivered >= 1);
    findings(&|_, alerts| alerts.unasked += 1);
    findings(&|_, alerts| alerts.filtered -= 1);
    findings(&|_, alerts| alerts.digest += 1);
    findings(&|books, _| books.disordered += 1);
    findings(&|books, _| {
        let jfk = books.stations["JFK"].clone();
        books.stations.insert("SFO".into(), jfk);
    });
    // Nothing was handed in.
    let nothing = audit(&truth, &Books::default(), &Alerts::default());
    assert_eq!(
        (nothing.is_clean(), nothing.total.unaccounted),
        (false, 2400)
    );
}

#[tokio::test]
async fn people_and_programs_get_the_same_summary() {
    use crate::demo::forecast::{outlook::Outlook, summary::Summary};

    let truth = truth();
    let (_, books, alerts) = scene(&truth).await;
    let rows = truth
        .iter()
        .map(|(station, rows)| (*station, rows.len() as u64));
    let mut outlook = Outlook::new(&rows.collect::<Vec<_>>());
    for (station, rows) in &truth {
        let (count, behind, done) = (rows.len() as u64, 3, true);
        outlook.handle(
            station,
            Word::Sent {
                count,
                behind,
                done,
            },
        );
    }
    outlook.handle("forecaster", Word::ForecastBooks(books));
    assert!(
        !Summary::of(&outlook, &truth).ok,
        "the alert node has said nothing"
    );
    outlook.handle("alert", Word::AlertBooks(alerts));
    let summary = Summary::of(&outlook, &truth);
    assert!(summary.ok);
    insta::assert_snapshot!(summary.to_string());
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(
        json["grouped"].as_u64().unwrap() + json["late"].as_u64().unwrap(),
        2400
    );
    assert_eq!(
        json["late_readings"].as_array().unwrap().len() as u64,
        json["late"]
    );
    let missing = json["missing_hours"].as_array().unwrap().iter();
    let missing = missing.map(|run| {
        run["hours"].as_u64().unwrap() * run["stations"].as_array().unwrap().len() as u64
    });
    assert_eq!(missing.sum::<u64>(), json["missing"]);
}
