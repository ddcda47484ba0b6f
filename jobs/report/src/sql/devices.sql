SELECT device, count(DISTINCT tag) AS tags, count(*) AS readings,
  round(100.0 * avg(CASE WHEN quality = 0 THEN 1.0 ELSE 0.0 END), 2) AS good_percent,
  min(event_time) AS first_reading, max(event_time) AS last_reading
FROM readings WHERE {series} AND event_time >= {from} AND event_time < {to}
GROUP BY device ORDER BY device
