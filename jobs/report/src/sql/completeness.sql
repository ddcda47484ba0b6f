WITH seen AS (
  SELECT device, tag, date_bin({bin}, event_time) AS x FROM readings
  WHERE {series} AND quality = 0 AND event_time >= {from} AND event_time < {to}
  GROUP BY device, tag, date_bin({bin}, event_time)
), tags AS (
  SELECT device, count(DISTINCT tag) AS tags FROM readings
  WHERE {series} AND event_time >= {from} AND event_time < {to} GROUP BY device
)
SELECT seen.x AS x, seen.device AS y, CAST(count(*) AS DOUBLE) / max(tags.tags) AS value
FROM seen JOIN tags ON seen.device = tags.device
GROUP BY seen.x, seen.device ORDER BY y, x
