WITH latest AS (
  SELECT *, row_number() OVER (PARTITION BY alert_id ORDER BY changed_at DESC) AS nth
  FROM alerts WHERE {devices} AND tag IS NOT NULL
), warned AS (
  SELECT device, tag, min(first_seen) AS since, max(CASE WHEN state = 'open' THEN {to} ELSE last_seen END) AS until
  FROM latest WHERE nth = 1 AND last_seen >= {from}
  GROUP BY device, tag ORDER BY max(last_seen) DESC, device, tag LIMIT 13
)
SELECT readings.device || ' · ' || readings.tag AS facet, date_bin({bin}, event_time) AS x,
  avg(value) AS mean, min(value) AS lo, max(value) AS hi, max(unit) AS unit,
  bool_or(event_time >= warned.since AND event_time <= warned.until) AS warned
FROM readings JOIN warned ON readings.device = warned.device AND readings.tag = warned.tag
WHERE value IS NOT NULL AND quality < 2 AND event_time >= {from} AND event_time < {to}
GROUP BY readings.device, readings.tag, date_bin({bin}, event_time)
ORDER BY facet, x
