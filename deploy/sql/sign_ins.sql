-- Audit lines of sign-ins that were let in, one row each. In Athena: CREATE VIEW over your table instead of the function.
CREATE OR REPLACE VIEW sign_ins AS
SELECT
    CAST("time" AS TIMESTAMP) AS signed_at,
    "user" AS person,
    country,
    asn,
    net,
    device,
    score
FROM read_json_auto('audit.jsonl')
WHERE decision <> 'deny' AND "user" IS NOT NULL;
