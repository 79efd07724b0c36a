-- Sign-ins by hour, UTC: those that succeeded, and those that failed.
SELECT EXTRACT(HOUR FROM signed_at) AS hour, SUM(passed) AS legit, SUM(1 - passed) AS attack FROM sign_ins GROUP BY 1 ORDER BY 1;
