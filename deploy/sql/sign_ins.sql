-- Sign-ins of an audit log with their outcomes, one row each. `passed`: the password was right. `teaches`: riskgate learned from it.
-- An outcome is a separate line with the decision's id. If an app client reports outcomes, a sign-in without one failed.
-- A challenged sign-in passed if its challenge did. If a client never reports outcomes, the outcome is unknown, and the sign-in counts as passed. Denied sign-ins and fraud are omitted.
-- In Athena: CREATE VIEW over your table instead of the function, with the same columns (STRUCT(..) is struct<fallback:string> there).
CREATE OR REPLACE VIEW sign_ins AS
WITH lines AS (
    SELECT *
    FROM read_json('audit.jsonl', format = 'newline_delimited', columns = {
        "time": 'VARCHAR', id: 'VARCHAR', decision: 'VARCHAR', "action": 'VARCHAR', score: 'DOUBLE', degraded: 'STRUCT(fallback VARCHAR)',
        pool: 'VARCHAR', client: 'VARCHAR', "user": 'VARCHAR', net: 'VARCHAR', country: 'VARCHAR', asn: 'BIGINT', device: 'VARCHAR',
        outcome: 'VARCHAR', learned: 'VARCHAR'
    })
),
outcomes AS (
    -- A challenged sign-in has up to two outcomes. The result of the challenge is the last word, and what it taught.
    SELECT
        id,
        COALESCE(MAX(CASE WHEN outcome IN ('challenge_passed', 'challenge_failed') THEN outcome END), MAX(outcome)) AS outcome,
        COALESCE(MAX(CASE WHEN learned = 'learned' THEN learned END), MAX(learned)) AS learned
    FROM lines
    WHERE outcome IS NOT NULL AND id IS NOT NULL
    GROUP BY id
),
reporters AS (
    SELECT DISTINCT decided.pool, decided.client
    FROM lines AS decided INNER JOIN outcomes ON outcomes.id = decided.id
    WHERE decided.decision IS NOT NULL AND outcomes.outcome IN ('success', 'failure', 'challenge_passed', 'challenge_failed')
)
SELECT
    CAST(decided."time" AS TIMESTAMP) AS signed_at,
    decided."user" AS person,
    decided.country,
    decided.asn,
    decided.net,
    decided.device,
    decided.score,
    CASE WHEN decided."action" = 'challenge' AND outcomes.outcome = 'success' THEN 0 WHEN outcomes.outcome IN ('success', 'not_fraud', 'challenge_passed') THEN 1 WHEN outcomes.outcome IS NOT NULL OR reporters.client IS NOT NULL THEN 0 ELSE 1 END AS passed,
    CASE WHEN decided.decision = 'deny' OR decided.degraded IS NOT NULL OR outcomes.learned = 'refused' THEN 0 ELSE 1 END AS teaches
FROM lines AS decided
LEFT JOIN outcomes ON outcomes.id = decided.id
LEFT JOIN reporters ON reporters.pool = decided.pool AND reporters.client = decided.client
WHERE decided.decision IS NOT NULL
    AND decided."user" IS NOT NULL
    AND COALESCE(outcomes.outcome, '') <> 'fraud'
    AND (decided."action" <> 'deny' OR outcomes.outcome IN ('success', 'not_fraud'));
