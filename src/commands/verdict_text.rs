//! The explanation of a verdict for people: what decided, the score, and the weight of each reason.

use riskgate_engine::{
    decision::{Decision, Rule, ScoreLevel, Verdict},
    evidence::Risk,
    score::reason::ReasonCode,
    settings::DecisionConfig,
};
use riskgate_event::response::Assessment;

/// Weights below this are 0.00 in the text.
const MIN_SHOWN_WEIGHT: f64 = 0.005;

/// Explains an assessment. The first line states what decided.
pub fn explain(assessment: &Assessment, config: &DecisionConfig) -> String {
    let decision = &assessment.decision;
    let score = &decision.score;
    let evidence = &score.signals.evidence;
    let precedence = precedence(decision, config).map(|why| format!(": {why}")).unwrap_or_default();
    let monitored = if decision.action == decision.verdict { "" } else { ": monitor mode denies no sign-in" };
    let mut lines = vec![
        format!("{}: {}", decision.verdict.as_label(), cause(decision, config)),
        format!("  score {:.1} ({}){precedence}", score.value, decision.level.as_label()),
        format!("  action {} ({} mode){monitored}", decision.action.as_label(), decision.mode.as_label()),
    ];
    let (weighed, noted): (Vec<_>, Vec<_>) = score.reasons.iter().partition(|reason| reason.weight.abs() >= MIN_SHOWN_WEIGHT);
    let and = if weighed.is_empty() { "" } else { " and" };
    lines.push(format!("  log-odds {:+.2} = base {:+.2}{and}", score.log_odds, score.base));
    lines.extend(weighed.iter().map(|reason| {
        let detail = reason.detail.as_ref().map(|detail| format!("  {detail}")).unwrap_or_default();
        format!("    {:+6.2}  {}{detail}", reason.weight, reason.code.as_label())
    }));
    let noted = noted.iter().filter(|reason| reason.code != ReasonCode::Other);
    let noted: Vec<String> = noted
        .map(|reason| match &reason.detail {
            Some(detail) => format!("{} ({detail})", reason.code.as_label()),
            None => reason.code.as_label().to_owned(),
        })
        .collect();
    if !noted.is_empty() {
        lines.push(format!("  without weight: {}", noted.join(", ")));
    }
    lines.push(format!("  context {}", evidence.sign_in.context.trust.as_label()));
    for result in &evidence.services {
        let codes = result.answer.as_ref().map(|answer| answer.codes.join(" ")).unwrap_or_default();
        lines.push(format!("  {} {} in {:.1} ms {codes}", result.service.as_label(), result.outcome.as_label(), result.took.as_secs_f64() * 1e3));
    }
    lines.push(format!("  history {}", evidence.history_outcome.as_label()));
    lines.push(format!("  {} in {:.1} ms, model {}", assessment.id, assessment.elapsed.as_secs_f64() * 1e3, assessment.model));
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

/// What decided, such as `denied by DENY_CIDRS entry 81.2.69.0/24`.
fn cause(decision: &Decision, config: &DecisionConfig) -> String {
    let evidence = &decision.score.signals.evidence;
    let client = evidence.sign_in.client.as_str();
    let entry = decision.list_entry();
    let verb = match decision.verdict {
        Verdict::Allow => "allowed",
        Verdict::Review => "flagged for review",
        Verdict::Challenge => "challenged",
        Verdict::Deny => "denied",
    };
    let by = match decision.rule {
        Rule::Exempt => "an operator's exemption".to_owned(),
        Rule::Suspended => "an operator's suspension".to_owned(),
        Rule::DenyCidrs if entry.is_none() => {
            let bans = evidence.services.iter().filter(|result| result.answer.as_ref().is_some_and(|answer| answer.risk == Risk::Ban));
            format!("a ban of {}", bans.map(|result| result.service.as_label()).collect::<Vec<_>>().join(", "))
        }
        Rule::NoIp => "NO_IP, because there is no public address".to_owned(),
        Rule::Fallback => {
            let fallback = decision.fallback.map(|fallback| fallback.as_label()).unwrap_or_default();
            format!("FALLBACK={fallback}, because no risk service answered or the block list is too old")
        }
        Rule::ReviewFloor => format!("{}, at any score", entry.unwrap_or_default()),
        Rule::Thresholds => match decision.verdict {
            Verdict::Allow => return format!("{verb}, because the score is below REVIEW_AT={}", config.review_at.of(client)),
            Verdict::Review => format!("REVIEW_AT={}", config.review_at.of(client)),
            Verdict::Challenge => format!("CHALLENGE_AT={}", config.challenge_at.of(client).unwrap_or_default()),
            Verdict::Deny => format!("DENY_AT={}", config.deny_at.of(client)),
        },
        rule @ (Rule::DenyClients | Rule::DenyCidrs | Rule::AllowCidrs | Rule::DenyAsns | Rule::AllowAsns | Rule::DenyCountries) => {
            let entry = entry.map(|entry| format!(" entry {entry}")).unwrap_or_default();
            format!("{}{entry}", rule.as_label().to_ascii_uppercase())
        }
    };
    format!("{verb} by {by}")
}

/// Why the verdict is not the one that the score's level suggests; `None` if it is.
fn precedence(decision: &Decision, config: &DecisionConfig) -> Option<String> {
    let is_expected = matches!(
        (decision.level, decision.verdict),
        (ScoreLevel::Low, Verdict::Allow) | (ScoreLevel::Medium, Verdict::Review) | (ScoreLevel::High, Verdict::Deny) | (_, Verdict::Challenge)
    );
    let client = decision.score.signals.evidence.sign_in.client.as_str();
    (!is_expected).then(|| match (decision.rule, decision.verdict) {
        (Rule::Fallback, Verdict::Deny) if decision.score.value >= config.degraded_deny_threshold(client) => {
            format!("without a risk service, scores from {} are denied", config.degraded_deny_threshold(client))
        }
        (Rule::ReviewFloor, _) => "that reason requires a review".to_owned(),
        (rule, _) => format!("{} has precedence over the score", rule.as_label()),
    })
}
