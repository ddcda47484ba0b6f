WITH latest AS (
  SELECT *, row_number() OVER (PARTITION BY alert_id ORDER BY changed_at DESC) AS nth
  FROM alerts WHERE {devices}
)
SELECT count(*) AS readings, count(DISTINCT device) AS devices,
  round(100.0 * avg(CASE WHEN quality = 0 THEN 1.0 ELSE 0.0 END), 2) AS good_quality_percent,
  (SELECT count(*) FROM latest WHERE nth = 1 AND state = 'open') AS open_warnings,
  (SELECT count(*) FROM job_runs WHERE state <> 'succeeded' AND finished_at >= {now} - {range}) AS failed_job_runs
FROM readings WHERE {series} AND event_time >= {from} AND event_time < {to}
