-- Sign-ins by hour, UTC.
SELECT EXTRACT(HOUR FROM signed_at) AS hour, COUNT(*) AS legit FROM sign_ins GROUP BY 1 ORDER BY 1;
