//! What comes next in a sign-in with a custom challenge, by the challenges that were answered.
//!
//! An app client that allows `CUSTOM_AUTH` may begin without a password, and the triggers alone decide whether tokens are issued. So
//! every step towards tokens requires that the session begins with `SRP_A` and a passed `PASSWORD_VERIFIER`.

use crate::challenge::issued;
use riskgate_engine::sign_in::Existence;
use riskgate_event::cognito::challenge::ChallengeEntry;

/// How many answers to a code are accepted.
pub const MAX_ANSWERS: usize = 3;

/// The name of a challenge that the triggers make.
pub const CUSTOM_CHALLENGE: &str = "CUSTOM_CHALLENGE";

/// The name of Cognito's password check.
pub const PASSWORD_VERIFIER: &str = "PASSWORD_VERIFIER";

/// The name of Cognito's request for a permanent password.
pub const NEW_PASSWORD_REQUIRED: &str = "NEW_PASSWORD_REQUIRED";

const SRP_A: &str = "SRP_A";

/// Cognito's own second factors.
const MFA: [&str; 3] = ["SMS_MFA", "EMAIL_OTP", "SOFTWARE_TOKEN_MFA"];

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep<'a> {
    /// Cognito checks the password.
    AskPassword,
    /// The password is right, and no challenge was made yet.
    Assess {
        /// Whether the user has passed one of Cognito's own second factors.
        has_second_factor: bool,
    },
    /// The answer was wrong, and another one is accepted.
    AskAgain,
    /// The answer was right. The metadata names the challenge.
    Passed(&'a str),
    /// The last accepted answer was wrong. The metadata names the challenge.
    Failed(&'a str),
    /// The session does not lead to tokens.
    Refuse,
    /// Another program made one of the challenges.
    NotOurs,
}

/// What comes next after the challenges of a session; `None` is a session that could not be read.
pub fn next_step(session: Option<&[ChallengeEntry]>, existence: Existence) -> NextStep<'_> {
    let Some(session) = session else { return NextStep::Refuse };
    let is_custom = |entry: &&ChallengeEntry| entry.name == CUSTOM_CHALLENGE;
    if session.iter().filter(is_custom).any(|entry| !entry.metadata.as_deref().is_some_and(issued::is_ours)) {
        return NextStep::NotOurs;
    }
    let answered = match session {
        [first] if is_passed(first, SRP_A) => return NextStep::AskPassword,
        // An unknown user is refused where a known one with a wrong password is.
        [first, second, answered @ ..] if is_passed(first, SRP_A) && is_passed(second, PASSWORD_VERIFIER) && existence == Existence::Known => answered,
        _ => return NextStep::Refuse,
    };
    // AWS adds names. A passed challenge of another name changes nothing, because the password is proved by the first two.
    if answered.iter().any(|entry| entry.name.is_empty() || (entry.name != CUSTOM_CHALLENGE && !entry.is_passed)) {
        return NextStep::Refuse;
    }
    let answers: Vec<&ChallengeEntry> = answered.iter().filter(is_custom).collect();
    let Some(metadata) = answers.last().map(|last| last.metadata.as_deref().unwrap_or_default()) else {
        return NextStep::Assess { has_second_factor: answered.iter().any(|entry| MFA.contains(&entry.name.as_str())) };
    };
    match answers.iter().position(|answer| answer.is_passed) {
        // No challenge follows a right answer, so it is the last one.
        Some(at) if at + 1 == answers.len() && answers.len() <= MAX_ANSWERS => NextStep::Passed(metadata),
        Some(_) => NextStep::Refuse,
        None if answers.len() < MAX_ANSWERS => NextStep::AskAgain,
        None => NextStep::Failed(metadata),
    }
}

/// Whether a user with a temporary password still has to choose a permanent one.
pub fn needs_new_password(session: Option<&[ChallengeEntry]>, has_temporary_password: bool) -> bool {
    has_temporary_password && !session.unwrap_or_default().iter().any(|entry| is_passed(entry, NEW_PASSWORD_REQUIRED))
}

fn is_passed(entry: &ChallengeEntry, name: &str) -> bool {
    entry.name == name && entry.is_passed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: &str = "riskgate/1/01ARZ3NDEKTSV4RRFFQ69G5FAV/c/1/x";

    fn entry(name: &str, is_passed: bool) -> ChallengeEntry {
        ChallengeEntry { name: name.into(), is_passed, metadata: (name == CUSTOM_CHALLENGE).then(|| OURS.into()) }
    }

    /// `+NAME` is a passed challenge, `-NAME` a failed one.
    fn session(text: &str) -> Vec<ChallengeEntry> {
        text.split_whitespace().map(|word| entry(&word[1..].replace("CC", CUSTOM_CHALLENGE).replace("PV", PASSWORD_VERIFIER), word.starts_with('+'))).collect()
    }

    #[track_caller]
    fn check(text: &str, expected: NextStep<'_>) {
        assert_eq!(next_step(Some(&session(text)), Existence::Known), expected, "{text}");
    }

    #[test]
    fn the_password_comes_first() {
        check("+SRP_A", NextStep::AskPassword);
        check("+SRP_A +PV", NextStep::Assess { has_second_factor: false });
        for text in [
            "",
            "-SRP_A",
            "+PV",
            "+PV +SRP_A",
            "+SRP_A -PV",
            "+SRP_A +CC",
            "+CC",
            "+CC +SRP_A +PV",
            "-CC +CC",
            "+SRP_A +SRP_A +PV",
            "+SRP_A +SMS_MFA",
            "+ADMIN_NO_SRP_AUTH",
            "+DEVICE_SRP_AUTH +DEVICE_PASSWORD_VERIFIER",
            "+srp_a +PV",
        ] {
            check(text, NextStep::Refuse);
        }
        assert_eq!(next_step(None, Existence::Known), NextStep::Refuse);
    }

    #[test]
    fn three_answers_are_accepted() {
        check("+SRP_A +PV -CC", NextStep::AskAgain);
        check("+SRP_A +PV -CC -CC", NextStep::AskAgain);
        check("+SRP_A +PV -CC -CC -CC", NextStep::Failed(OURS));
        check("+SRP_A +PV -CC -CC -CC -CC", NextStep::Failed(OURS));
        check("+SRP_A +PV +CC", NextStep::Passed(OURS));
        check("+SRP_A +PV -CC -CC +CC", NextStep::Passed(OURS));
        check("+SRP_A +PV -CC -CC -CC +CC", NextStep::Refuse);
        check("+SRP_A +PV +CC -CC", NextStep::Refuse);
    }

    #[test]
    fn second_factors_devices_and_new_names_are_known_by_their_result() {
        for name in MFA {
            check(&format!("+SRP_A +PV +{name}"), NextStep::Assess { has_second_factor: true });
            check(&format!("+SRP_A +PV -{name}"), NextStep::Refuse);
        }
        check("+SRP_A +PV +SOFTWARE_TOKEN_MFA +CC", NextStep::Passed(OURS));
        check("+SRP_A +PV +DEVICE_SRP_AUTH +DEVICE_PASSWORD_VERIFIER", NextStep::Assess { has_second_factor: false });
        check("+SRP_A +PV +NEW_PASSWORD_REQUIRED", NextStep::Assess { has_second_factor: false });
        check("+SRP_A +PV +CC +NEW_PASSWORD_REQUIRED", NextStep::Passed(OURS));
        check("+SRP_A +PV -DEVICE_SRP_AUTH", NextStep::Refuse);
        check("+SRP_A +PV +A_NAME_OF_TOMORROW", NextStep::Assess { has_second_factor: false });
        let nameless = [entry("SRP_A", true), entry(PASSWORD_VERIFIER, true), entry("", true)];
        assert_eq!(next_step(Some(&nameless), Existence::Known), NextStep::Refuse);
    }

    #[test]
    fn an_unknown_user_is_a_known_one_with_a_wrong_password() {
        let unknown = |text: &str| next_step(Some(&session(text)), Existence::NotFound) == NextStep::Refuse;
        assert_eq!(next_step(Some(&session("+SRP_A")), Existence::NotFound), NextStep::AskPassword);
        assert!(unknown("+SRP_A -PV") && unknown("+SRP_A +PV") && unknown("+SRP_A +PV +CC"));
        check("+SRP_A -PV", NextStep::Refuse);
    }

    #[test]
    fn challenges_of_others_are_theirs() {
        for metadata in [None, Some("MAGIC_LINK"), Some("riskgate"), Some("")] {
            let other = ChallengeEntry { metadata: metadata.map(Into::into), ..entry(CUSTOM_CHALLENGE, true) };
            for before in ["", "+SRP_A +PV", "+SRP_A +PV -CC"] {
                let session = [session(before), vec![other.clone()]].concat();
                assert_eq!(next_step(Some(&session), Existence::Known), NextStep::NotOurs, "{metadata:?} {before}");
            }
        }
    }

    #[test]
    fn a_temporary_password_is_replaced_before_tokens() {
        assert!(needs_new_password(Some(&session("+SRP_A +PV")), true) && needs_new_password(Some(&session("+SRP_A +PV -NEW_PASSWORD_REQUIRED")), true));
        assert!(!needs_new_password(Some(&session("+SRP_A +PV +NEW_PASSWORD_REQUIRED")), true) && !needs_new_password(Some(&session("+SRP_A +PV")), false));
    }

    proptest! {
        /// No session leads on without the password, whatever it contains.
        #[test]
        fn no_session_without_the_password_leads_to_tokens(entries in prop::collection::vec((0_usize..8, any::<bool>(), 0_usize..3), 0..8)) {
            let names = [SRP_A, PASSWORD_VERIFIER, CUSTOM_CHALLENGE, "SMS_MFA", NEW_PASSWORD_REQUIRED, "ADMIN_NO_SRP_AUTH", "", "OTHER"];
            let session: Vec<ChallengeEntry> = entries
                .iter()
                .map(|(name, is_passed, metadata)| ChallengeEntry { name: names[*name].into(), is_passed: *is_passed, metadata: [None, Some(OURS.into()), Some("x".into())][*metadata].clone() })
                .collect();
            let has_password = matches!(session.as_slice(), [a, b, ..] if is_passed(a, SRP_A) && is_passed(b, PASSWORD_VERIFIER));
            let step = next_step(Some(&session), Existence::Known);
            if !has_password {
                prop_assert!(matches!(step, NextStep::AskPassword | NextStep::Refuse | NextStep::NotOurs), "{:?}", step);
            }
            prop_assert!(matches!(next_step(Some(&session), Existence::NotFound), NextStep::AskPassword | NextStep::Refuse | NextStep::NotOurs));
        }
    }
}
