-- Sign-ins by country, and by provider within its country; what has fewer than five is left out, as noise or one person.
SELECT 'country' AS level, country AS first, NULL AS second, COUNT(*) AS legit
FROM sign_ins WHERE country IS NOT NULL GROUP BY country HAVING COUNT(*) >= 5
UNION ALL
SELECT 'asn', country, CAST(asn AS VARCHAR), COUNT(*)
FROM sign_ins WHERE country IS NOT NULL AND asn IS NOT NULL GROUP BY country, asn HAVING COUNT(*) >= 5
ORDER BY 1, 2, 3;
