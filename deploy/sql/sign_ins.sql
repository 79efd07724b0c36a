-- Sign-ins of an audit log, one row each, and how they ended. `passed`: the password was right. `teaches`: the gate learned from it.
-- An outcome stands in a line of its own, by the decision's id. Where an app client tells of outcomes, a sign-in without one failed;
-- where it never does, nobody knows, and it counts as passed. What was kept out, and fraud, is left out.
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
    SELECT id, MAX(outcome) AS outcome, MAX(learned) AS learned FROM lines WHERE outcome IS NOT NULL AND id IS NOT NULL GROUP BY id
),
tellers AS (
    SELECT DISTINCT decided.pool, decided.client
    FROM lines AS decided INNER JOIN outcomes ON outcomes.id = decided.id
    WHERE decided.decision IS NOT NULL AND outcomes.outcome IN ('success', 'failure')
)
SELECT
    CAST(decided."time" AS TIMESTAMP) AS signed_at,
    decided."user" AS person,
    decided.country,
    decided.asn,
    decided.net,
    decided.device,
    decided.score,
    CASE WHEN outcomes.outcome IN ('success', 'not_fraud') THEN 1 WHEN outcomes.outcome IS NOT NULL OR tellers.client IS NOT NULL THEN 0 ELSE 1 END AS passed,
    CASE WHEN decided.decision = 'deny' OR decided.degraded IS NOT NULL OR outcomes.learned = 'refused' THEN 0 ELSE 1 END AS teaches
FROM lines AS decided
LEFT JOIN outcomes ON outcomes.id = decided.id
LEFT JOIN tellers ON tellers.pool = decided.pool AND tellers.client = decided.client
WHERE decided.decision IS NOT NULL
    AND decided."user" IS NOT NULL
    AND COALESCE(outcomes.outcome, '') <> 'fraud'
    AND (decided."action" <> 'deny' OR outcomes.outcome IN ('success', 'not_fraud'));
