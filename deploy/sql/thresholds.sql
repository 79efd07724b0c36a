-- The share of successful sign-ins at or above each threshold.
SELECT threshold, AVG(CASE WHEN score >= threshold THEN 1.0 ELSE 0.0 END) AS legitimate
FROM sign_ins
CROSS JOIN (VALUES (30.0), (40.0), (45.0), (50.0), (55.0), (60.0), (65.0), (70.0), (75.0), (80.0), (85.0), (90.0), (95.0)) AS thresholds (threshold)
WHERE passed = 1
GROUP BY threshold
ORDER BY threshold;
