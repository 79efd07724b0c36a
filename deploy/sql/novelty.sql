-- For each level of the chain country > provider > network, and for the device: the number of sign-ins with a new value,
-- among the sign-ins of users with a history whose value of the level above was seen before.
WITH history AS (
    SELECT
        *,
        COALESCE(SUM(teaches) OVER (PARTITION BY person ORDER BY signed_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS root_seen,
        COALESCE(SUM(teaches) OVER (PARTITION BY person, country ORDER BY signed_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS country_seen,
        COALESCE(SUM(teaches) OVER (PARTITION BY person, country, asn ORDER BY signed_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS asn_seen,
        COALESCE(SUM(teaches) OVER (PARTITION BY person, net ORDER BY signed_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS net_seen,
        COALESCE(SUM(teaches) OVER (PARTITION BY person, device ORDER BY signed_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS device_seen,
        date_diff(
            'second',
            MAX(CASE WHEN teaches = 1 THEN signed_at END) OVER (PARTITION BY person ORDER BY signed_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            signed_at
        ) AS pause
    FROM sign_ins
    WHERE passed = 1
),
levels AS (
    SELECT 'country' AS level, root_seen AS above, country_seen AS own, pause FROM history WHERE country IS NOT NULL
    UNION ALL
    SELECT 'asn', country_seen, asn_seen, pause FROM history WHERE country IS NOT NULL AND asn IS NOT NULL
    UNION ALL
    SELECT 'network', asn_seen, net_seen, pause FROM history WHERE country IS NOT NULL AND asn IS NOT NULL AND net IS NOT NULL
    UNION ALL
    SELECT 'device', root_seen, device_seen, pause FROM history WHERE device IS NOT NULL
)
SELECT
    level,
    CASE WHEN GREATEST(above, own) <= 1 THEN '1' WHEN GREATEST(above, own) = 2 THEN '2' WHEN GREATEST(above, own) <= 4 THEN '4'
        WHEN GREATEST(above, own) <= 8 THEN '8' WHEN GREATEST(above, own) <= 16 THEN '16' ELSE 'more' END AS seen,
    CASE WHEN pause < 60 THEN '1m' WHEN pause < 600 THEN '10m' WHEN pause < 3600 THEN '1h' WHEN pause < 86400 THEN '1d'
        WHEN pause < 604800 THEN '7d' WHEN pause < 2592000 THEN '30d' ELSE 'more' END AS gap,
    SUM(CASE WHEN own = 0 THEN 1 ELSE 0 END) AS novel,
    COUNT(*) AS total
FROM levels
WHERE above > 0
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;
