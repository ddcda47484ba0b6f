WITH latest AS (
  SELECT *, row_number() OVER (PARTITION BY alert_id ORDER BY changed_at DESC) AS nth
  FROM alerts WHERE {devices}
)
SELECT count(DISTINCT device) AS machines_judged,
  (SELECT count(*) FROM latest WHERE nth = 1 AND state = 'open') AS open_warnings,
  (SELECT count(*) FROM latest WHERE nth = 1 AND state = 'open' AND severity = 'critical') AS critical,
  round(100.0 * max(score / nullif("limit", 0)), 0) AS "highest score against limit_percent",
  count(*) AS judgements
FROM scores WHERE {devices} AND event_time >= {from} AND event_time <= {to}
