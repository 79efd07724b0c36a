//! A code that was made, as the text that travels through Cognito: in `privateChallengeParameters`, which only the next trigger gets, and
//! in `challengeMetadata`, which comes back with a wrong answer.
//!
//! The text contains a keyed hash of the code, never the code.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use smol_str::{SmolStr, format_smolstr};

use riskgate_config::pseudonym::{CODE_HASH_BYTES, Pseudonyms};
use riskgate_engine::sign_in::SignIn;

/// What every text starts with: a name and a version.
const PREFIX: &str = "riskgate/1/";

/// The number of digits of a code.
const DIGITS: usize = 8;

/// The number of codes.
const CODES: u32 = 100_000_000;

/// A code that was made, without the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCode {
    /// The id of the assessment; empty if it is not known.
    pub id: SmolStr,
    /// Whether the code was sent.
    pub kind: CodeKind,
    /// When it was made, in seconds since 1970.
    pub at: i64,
    hash: [u8; CODE_HASH_BYTES],
}

/// Whether a code was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeKind {
    /// It was sent, and the answer must be equal to it.
    Sent,
    /// It could not be delivered, and `CHALLENGE_FALLBACK=allow` accepts any answer.
    Waived,
}

/// Whether metadata names a challenge of riskgate.
pub fn is_ours(metadata: &str) -> bool {
    metadata.starts_with(PREFIX)
}

/// A new code: eight digits, each code equally likely.
pub fn new_code() -> SecretString {
    // Numbers above the largest multiple are drawn again.
    const LIMIT: u32 = u32::MAX / CODES * CODES;
    let rng = SystemRandom::new();
    loop {
        let mut bytes = [0; 4];
        rng.fill(&mut bytes).expect("the operating system has random bytes");
        let number = u32::from_be_bytes(bytes);
        if number < LIMIT {
            return SecretString::from(format!("{:0DIGITS$}", number % CODES));
        }
    }
}

impl IssuedCode {
    /// A code for a sign-in. Without a code it is waived.
    pub fn new(pseudonyms: &Pseudonyms, sign_in: &SignIn, id: SmolStr, code: Option<&SecretString>) -> Self {
        let kind = if code.is_some() { CodeKind::Sent } else { CodeKind::Waived };
        let mut issued = IssuedCode { id, kind, at: sign_in.received.wall.as_second(), hash: [0; CODE_HASH_BYTES] };
        issued.hash = issued.with_parts(sign_in, code.map(ExposeSecret::expose_secret).unwrap_or_default(), |parts| pseudonyms.code_hash(parts));
        issued
    }

    /// Whether an answer is the code of this sign-in. White space around it does not count. The comparison takes the same time for every
    /// answer.
    pub fn is_answered_by(&self, answer: &str, pseudonyms: &Pseudonyms, sign_in: &SignIn) -> bool {
        let answer = match self.kind {
            CodeKind::Sent => answer.trim(),
            CodeKind::Waived => "",
        };
        (self.kind == CodeKind::Waived || answer.len() == DIGITS) && self.with_parts(sign_in, answer, |parts| pseudonyms.is_code_hash(parts, &self.hash))
    }

    /// The text.
    pub fn to_text(&self) -> SmolStr {
        format_smolstr!("{PREFIX}{}/{}/{}/{}", self.id, self.kind.as_text(), self.at, BASE64_URL_SAFE_NO_PAD.encode(self.hash))
    }

    /// Reads a text; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(PREFIX)?.split('/');
        let [id, kind, at, hash] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let kind = [CodeKind::Sent, CodeKind::Waived].into_iter().find(|known| known.as_text() == kind)?;
        let hash = BASE64_URL_SAFE_NO_PAD.decode(hash).ok()?.try_into().ok()?;
        parts.next().is_none().then_some(IssuedCode { id: id.into(), kind, at: at.parse().ok()?, hash })
    }

    /// The hash, which is different for every code.
    pub fn hash(&self) -> &[u8] {
        &self.hash
    }

    /// Binds the code to the user, the app client and everything else in the text.
    fn with_parts<T>(&self, sign_in: &SignIn, code: &str, of: impl FnOnce(&[&[u8]]) -> T) -> T {
        let (pool, client, user) = (sign_in.pool.as_bytes(), sign_in.client.as_bytes(), sign_in.user.key().as_bytes());
        of(&[pool, client, user, self.id.as_bytes(), self.kind.as_text().as_bytes(), &self.at.to_be_bytes(), code.as_bytes()])
    }
}

impl CodeKind {
    fn as_text(self) -> &'static str {
        match self {
            CodeKind::Sent => "c",
            CodeKind::Waived => "w",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riskgate_engine::client_ip::ClientIp;
    use riskgate_event::http;
    use riskgate_runtime::clock;

    fn sign_in(user: &str, client: &str) -> SignIn {
        http::parse(format!(r#"{{"user":"{user}","client":"{client}"}}"#).as_bytes(), ClientIp::Missing, clock::read()).expect("a sign-in")
    }

    #[test]
    fn codes_are_eight_digits_and_spread_evenly() {
        let mut first_digits = [0_u32; 10];
        for _ in 0..2_000 {
            let code = new_code();
            let code = code.expose_secret();
            assert!(code.len() == DIGITS && code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
            first_digits[usize::from(code.as_bytes()[0] - b'0')] += 1;
        }
        // 200 are expected of each; ten standard deviations are 134.
        assert!(first_digits.iter().all(|count| (60..340).contains(count)), "{first_digits:?}");
    }

    #[test]
    fn an_answer_belongs_to_one_code_of_one_sign_in() {
        let (pseudonyms, ann) = (Pseudonyms::random(), sign_in("ann", "web"));
        let code = SecretString::from("01234567");
        let issued = IssuedCode::new(&pseudonyms, &ann, "01ARZ3NDEKTSV4RRFFQ69G5FAV".into(), Some(&code));
        assert_eq!(IssuedCode::parse(&issued.to_text()), Some(issued.clone()));
        assert!(issued.is_answered_by("01234567", &pseudonyms, &ann) && issued.is_answered_by(" 01234567\n", &pseudonyms, &ann));
        for wrong in ["", "01234568", "1234567", "012345670", "0123 4567", "01234567a"] {
            assert!(!issued.is_answered_by(wrong, &pseudonyms, &ann), "{wrong}");
        }
        for other in [sign_in("bob", "web"), sign_in("ann", "app")] {
            assert!(!issued.is_answered_by("01234567", &pseudonyms, &other));
        }
        assert!(!issued.is_answered_by("01234567", &Pseudonyms::random(), &ann));
        let text = issued.to_text();
        assert!(!text.contains("01234567") && !format!("{issued:?}").contains("01234567"));
        for forged in [text.replace("/c/", "/w/"), text.replace(&issued.at.to_string(), &(issued.at + 60).to_string()), text.replace("5FAV", "5FAW")] {
            let forged = IssuedCode::parse(&forged).expect("a text");
            assert!(!forged.is_answered_by("01234567", &pseudonyms, &ann) && !forged.is_answered_by("", &pseudonyms, &ann), "{forged:?}");
        }
    }

    #[test]
    fn a_waived_code_takes_any_answer() {
        let (pseudonyms, ann) = (Pseudonyms::random(), sign_in("ann", "web"));
        let issued = IssuedCode::new(&pseudonyms, &ann, SmolStr::default(), None);
        let read = IssuedCode::parse(&issued.to_text()).expect("a text");
        assert!(read == issued && read.is_answered_by("anything", &pseudonyms, &ann) && read.is_answered_by("", &pseudonyms, &ann));
        assert!(!read.is_answered_by("", &pseudonyms, &sign_in("bob", "web")));
    }

    #[test]
    fn other_texts_are_not_read() {
        for text in ["", "riskgate/1/", "riskgate/1/a/c/1/x", "riskgate/2/a/c/1/x", "riskgate/1/a/z/1/AAAA", "MAGIC_LINK", "riskgate/1/a/c/1/AAAA/b"] {
            assert_eq!(IssuedCode::parse(text), None, "{text}");
        }
    }
}
