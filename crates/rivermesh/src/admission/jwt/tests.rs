use iroh::SecretKey;
use rivermesh_proto::StreamName;
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_800_000_000;

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

fn issuers() -> Vec<Issuer> {
    vec![
        Issuer::new("https://id.example").key(key(1).public()),
        Issuer::new("https://named.example")
            .named_key("new", key(3).public())
            .named_key("old", key(4).public()),
    ]
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example",
        "aud": "lab",
        "sub": key(2).public().to_string(),
        "exp": NOW + 600,
        "nbf": NOW,
        "iat": NOW,
        "scope": "openid consume:weather/* produce:alerts",
    })
}

fn part(text: &str) -> String {
    BASE64URL_NOPAD.encode(text.as_bytes())
}

/// A token of this text, well signed.
fn signed(header: &str, claims: &str, key: &SecretKey) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(message.as_bytes()).to_bytes();
    format!("{message}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn token(claims: &Value) -> String {
    let header = r#"{"alg":"EdDSA","typ":"JWT"}"#;
    signed(header, &claims.to_string(), &key(1))
}

fn ask(token: &str, change: impl FnOnce(&mut Question<'_>)) -> Result<u64, Denied> {
    let stream = StreamName::new("weather/jfk").unwrap();
    let mut question = Question {
        network: NetworkId::of("lab"),
        audience: key(2).public(),
        stream: &stream,
        right: Right::Consume,
        now_s: NOW + 1,
    };
    change(&mut question);
    let (token, until_s) = Token::verify(&issuers(), token.as_bytes(), &question)?;
    assert_eq!(token.verify_again(&issuers(), &question), Ok(until_s));
    let others = &issuers()[1..];
    assert_eq!(
        token.verify_again(others, &question),
        Err(Denied::Authority)
    );
    Ok(until_s)
}

fn verify(token: &str) -> Result<u64, Denied> {
    ask(token, |_| {})
}

fn with(name: &str, value: Value) -> Result<u64, Denied> {
    let mut claims = claims();
    claims[name] = value;
    verify(&token(&claims))
}

fn without(name: &str) -> Result<u64, Denied> {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    verify(&token(&claims))
}

#[test]
fn a_token_allows_what_it_says_and_nothing_else() {
    let good = token(&claims());
    assert_eq!(verify(&good), Ok(NOW + 600));
    assert_eq!(expires_s(good.as_bytes()), Some(NOW + 600));
    let alerts = StreamName::new("alerts").unwrap();
    let elsewhere = StreamName::new("other").unwrap();
    assert!(
        ask(&good, |q| {
            // Rights go with their streams.
            q.right = Right::Produce;
        })
        .is_err()
    );
    let stream = StreamName::new("weather/jfk").unwrap();
    let question = |stream, right| Question {
        network: NetworkId::of("lab"),
        audience: key(2).public(),
        stream,
        right,
        now_s: NOW,
    };
    let of = |question: Question<'_>| {
        Token::verify(&issuers(), good.as_bytes(), &question).map(|(_, until)| until)
    };
    assert_eq!(of(question(&alerts, Right::Produce)), Ok(NOW + 600));
    assert_eq!(of(question(&alerts, Right::Consume)), Err(Denied::Right));
    assert_eq!(of(question(&stream, Right::Produce)), Err(Denied::Right));
    assert_eq!(
        of(question(&elsewhere, Right::Consume)),
        Err(Denied::Stream)
    );
    assert_eq!(
        ask(&good, |q| q.audience = key(9).public()),
        Err(Denied::Audience)
    );
    assert_eq!(
        ask(&good, |q| q.network = NetworkId::of("x")),
        Err(Denied::Network)
    );
    assert_eq!(ask(&good, |q| q.now_s = NOW + 600), Err(Denied::Expired));
    assert_eq!(ask(&good, |q| q.now_s = u64::MAX), Err(Denied::Expired));
    assert_eq!(ask(&good, |q| q.now_s = NOW - 61), Err(Denied::NotYet));
    let several = with("aud", json!(["x", "lab"]));
    assert_eq!(several, Ok(NOW + 600));
}

#[test]
fn what_a_token_must_say() {
    for claim in ["iss", "aud", "sub", "exp"] {
        assert_eq!(without(claim), Err(Denied::Unreadable), "{claim}");
    }
    assert_eq!(without("scope"), Err(Denied::Stream));
    assert_eq!(without("nbf"), Ok(NOW + 600));
    assert_eq!(with("iss", json!("https://other")), Err(Denied::Authority));
    assert_eq!(with("aud", json!("other")), Err(Denied::Network));
    assert_eq!(with("aud", json!([])), Err(Denied::Network));
    let many: Vec<_> = (0..17).map(|_| "lab").collect();
    assert_eq!(with("aud", json!(many)), Err(Denied::Unreadable));
    for exp in [
        json!("never"),
        json!(null),
        json!(-1),
        json!(1.5e9),
        json!(true),
        json!(u64::MAX),
        json!(NOW + 400 * 86_400),
    ] {
        assert_eq!(with("exp", exp.clone()), Err(Denied::Unreadable), "{exp}");
    }
    assert_eq!(with("exp", json!(0)), Err(Denied::Expired));
    assert_eq!(with("nbf", json!(u64::MAX)), Err(Denied::NotYet));
    assert_eq!(with("sub", json!("me")), Err(Denied::Unreadable));
    assert_eq!(with("scope", json!("consume")), Err(Denied::Stream));
    assert_eq!(with("scope", json!("consume:*x")), Err(Denied::Stream));
    assert_eq!(with("scope", json!("admin:*")), Err(Denied::Stream));
}

#[test]
fn no_other_algorithm_and_none_least_of_all() {
    let body = claims().to_string();
    for alg in [
        "none", "None", "NONE", "nOnE", "", "HS256", "HS512", "RS256", "ES256", "PS256", "eddsa",
        "EDDSA", "Ed448",
    ] {
        let header = json!({ "alg": alg, "typ": "JWT" }).to_string();
        let said = verify(&signed(&header, &body, &key(1)));
        assert_eq!(said, Err(Denied::Unreadable), "{alg}");
        // Without a signature, as `none` has it.
        let bare = format!("{}.{}.", part(&header), part(&body));
        assert_eq!(verify(&bare), Err(Denied::Unreadable), "{alg}");
    }
    let header = r#"{"alg":"EdDSA"}"#;
    let bare = format!("{}.{}.", part(header), part(&body));
    assert_eq!(verify(&bare), Err(Denied::Signature));
    // The public key as a secret of HMAC: the signature is of the wrong length and kind.
    let message = format!("{}.{}", part(header), part(&body));
    let mac = blake3::keyed_hash(key(1).public().as_bytes(), message.as_bytes());
    let mac = BASE64URL_NOPAD.encode(mac.as_bytes());
    assert_eq!(verify(&format!("{message}.{mac}")), Err(Denied::Signature));
    let no_alg = signed(r#"{"typ":"JWT"}"#, &body, &key(1));
    assert_eq!(verify(&no_alg), Err(Denied::Unreadable));
    let two = signed(r#"{"alg":"EdDSA","alg":"none"}"#, &body, &key(1));
    assert_eq!(verify(&two), Err(Denied::Unreadable));
}

#[test]
fn a_token_brings_no_key_of_its_own() {
    let body = claims().to_string();
    let own = json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64URL_NOPAD.encode(key(9).public().as_bytes()) });
    for (name, value) in [
        ("jwk", own),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("abc")),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("enc", json!("A128GCM")),
        ("unheard-of", json!(1)),
    ] {
        let header = json!({ "alg": "EdDSA", name: value }).to_string();
        for signer in [1, 9] {
            let said = verify(&signed(&header, &body, &key(signer)));
            assert_eq!(said, Err(Denied::Unreadable), "{name}");
        }
    }
    // Whoever signs with another key names whichever it likes.
    let mut named = claims();
    named["iss"] = json!("https://named.example");
    let of = |kid: Value, signer: u8| {
        let header = json!({ "alg": "EdDSA", "kid": kid }).to_string();
        verify(&signed(&header, &named.to_string(), &key(signer)))
    };
    let until = Token::verify(
        &issuers(),
        signed(
            r#"{"alg":"EdDSA","kid":"new"}"#,
            &named.to_string(),
            &key(3),
        )
        .as_bytes(),
        &Question {
            network: NetworkId::of("lab"),
            audience: key(2).public(),
            stream: &StreamName::new("weather/jfk").unwrap(),
            right: Right::Consume,
            now_s: NOW,
        },
    )
    .map(|(_, until)| until);
    assert_eq!(until, Ok(NOW + 600));
    assert_eq!(of(json!("new"), 4), Err(Denied::Signature));
    assert_eq!(of(json!("old"), 3), Err(Denied::Signature));
    for kid in [
        json!("../../dev/null"),
        json!("' OR 1=1 --"),
        json!(""),
        json!("NEW"),
        json!("new\u{0}"),
    ] {
        assert_eq!(of(kid.clone(), 3), Err(Denied::Authority), "{kid}");
    }
    assert_eq!(of(json!(["new"]), 3), Err(Denied::Unreadable));
    assert_eq!(of(Value::Null, 3), Err(Denied::Authority));
    // A key of one issuer signs for no other.
    let header = r#"{"alg":"EdDSA"}"#;
    assert_eq!(
        verify(&signed(header, &body, &key(3))),
        Err(Denied::Signature)
    );
    let unnamed = r#"{"alg":"EdDSA","kid":"new"}"#;
    assert_eq!(
        verify(&signed(unnamed, &body, &key(1))),
        Err(Denied::Authority)
    );
}

#[test]
fn no_claim_is_there_twice() {
    let header = r#"{"alg":"EdDSA"}"#;
    let body = claims().to_string();
    let inner = body.strip_prefix('{').unwrap();
    for twice in [
        format!(r#"{{"exp":{},{inner}"#, NOW + 9_000),
        format!(r#"{{"sub":"{}",{inner}"#, key(9).public()),
        format!(r#"{{"aud":"other",{inner}"#),
        format!(r#"{{"scope":"consume:*",{inner}"#),
        format!(r#"{{"iss":"https://named.example",{inner}"#),
        format!(r#"{{"iat":1,{inner}"#),
        format!(r#"{{"\u0065xp":{},{inner}"#, NOW + 9_000),
        format!(r#"{{"x":1,"x":2,{inner}"#),
    ] {
        let said = verify(&signed(header, &twice, &key(1)));
        assert_eq!(said, Err(Denied::Unreadable), "{twice}");
    }
}

#[test]
fn what_is_no_token_is_no_panic() {
    let good = token(&claims());
    for len in 0..good.len() {
        assert!(verify(&good[..len]).is_err(), "cut at {len}");
    }
    for text in ["", ".", "..", "...", "e.e.e", "eyJ", "eyJ.eyJ.eyJ"] {
        assert!(verify(text).is_err(), "{text:?}");
    }
    for at in 0..good.len() {
        let mut bad = good.clone().into_bytes();
        bad[at] ^= 1;
        let bad = String::from_utf8(bad).unwrap();
        assert!(verify(&bad).is_err(), "byte {at}");
    }
    assert!(verify(&format!("{good}.{good}")).is_err());
    assert!(verify(&format!("{good}=")).is_err());
    let deep = "[".repeat(1500);
    assert!(verify(&signed(r#"{"alg":"EdDSA"}"#, &deep, &key(1))).is_err());
    assert!(credential("").is_err());
    assert!(credential(&"e".repeat(3000)).is_err());
}
