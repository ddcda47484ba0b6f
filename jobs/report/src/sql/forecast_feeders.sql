WITH newest AS (
  SELECT *, row_number() OVER (PARTITION BY site, device, tag, target_time ORDER BY issued_at DESC) AS nth
  FROM predictions WHERE {series} AND target_time >= {from}
), forecast AS (SELECT * FROM newest WHERE nth = 1),
peak AS (
  SELECT site, device, tag, value, target_time,
    row_number() OVER (PARTITION BY site, device, tag ORDER BY value DESC, target_time) AS nth
  FROM forecast WHERE target_time >= {to}
), met AS (
  SELECT forecast.site AS site, forecast.device AS device, forecast.tag AS tag, forecast.value AS f, readings.value AS m,
    CASE WHEN forecast.lo IS NULL OR forecast.hi IS NULL THEN NULL
      WHEN readings.value >= forecast.lo AND readings.value <= forecast.hi THEN 1.0 ELSE 0.0 END AS within
  FROM forecast JOIN readings ON readings.site = forecast.site AND readings.device = forecast.device
    AND readings.tag = forecast.tag AND readings.event_time = forecast.target_time
  WHERE readings.quality < 2 AND readings.value IS NOT NULL AND readings.event_time >= {from} AND readings.event_time < {to}
), error AS (
  SELECT site, device, tag, count(*) AS n, 100.0 * sum(abs(f - m)) / nullif(sum(abs(m)), 0) AS e, 100.0 * avg(within) AS c
  FROM met GROUP BY site, device, tag
), each AS (SELECT site, device, tag, count(*) AS times FROM forecast GROUP BY site, device, tag)
SELECT each.device AS device, each.tag AS tag, each.times AS times_forecast, error.n AS measured_at_same_time,
  round(error.e, 2) AS absolute_error_percent, round(error.c, 1) AS coverage_percent,
  peak.value AS peak_ahead, peak.target_time AS peak_at
FROM each LEFT JOIN error ON each.site = error.site AND each.device = error.device AND each.tag = error.tag
LEFT JOIN peak ON each.site = peak.site AND each.device = peak.device AND each.tag = peak.tag AND peak.nth = 1
ORDER BY device, tag
