WITH chosen AS (
  SELECT device, tag, max(unit) AS unit FROM readings
  WHERE {series} AND value IS NOT NULL AND quality < 2 AND event_time >= {from} AND event_time < {to}
  GROUP BY device, tag ORDER BY device, tag LIMIT 13
)
SELECT readings.device || ' · ' || readings.tag AS facet, date_bin({bin}, event_time) AS x,
  avg(value) AS mean, min(value) AS lo, max(value) AS hi, max(chosen.unit) AS unit
FROM readings JOIN chosen ON readings.device = chosen.device AND readings.tag = chosen.tag
WHERE value IS NOT NULL AND quality < 2 AND event_time >= {from} AND event_time < {to}
GROUP BY readings.device, readings.tag, date_bin({bin}, event_time)
ORDER BY facet, x
