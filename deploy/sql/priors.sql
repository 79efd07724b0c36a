-- Sign-ins by country, and by provider within its country: those that succeeded, and those that failed. Groups of fewer than five are omitted: they are noise or a single user.
SELECT 'country' AS level, country AS first, NULL AS second, SUM(passed) AS legit, SUM(1 - passed) AS attack
FROM sign_ins WHERE country IS NOT NULL GROUP BY country HAVING COUNT(*) >= 5
UNION ALL
SELECT 'asn', country, CAST(asn AS VARCHAR), SUM(passed), SUM(1 - passed)
FROM sign_ins WHERE country IS NOT NULL AND asn IS NOT NULL GROUP BY country, asn HAVING COUNT(*) >= 5
ORDER BY 1, 2, 3;
