WITH newest AS (
  SELECT *, row_number() OVER (PARTITION BY site, device, tag, target_time ORDER BY issued_at DESC) AS nth
  FROM predictions WHERE {series} AND target_time >= {from} AND target_time < {to}
), forecast AS (
  SELECT site, device, tag, date_bin({bin}, target_time) AS t, avg(value) AS value
  FROM newest WHERE nth = 1 GROUP BY site, device, tag, date_bin({bin}, target_time)
), measured AS (
  SELECT site, device, tag, date_bin({bin}, event_time) AS t, avg(value) AS value
  FROM readings WHERE {series} AND quality < 2 AND value IS NOT NULL AND event_time >= {from} AND event_time < {to}
  GROUP BY site, device, tag, date_bin({bin}, event_time)
)
SELECT date_trunc('day', forecast.t) AS x,
  100.0 * sum(abs(forecast.value - measured.value)) / nullif(sum(abs(measured.value)), 0) AS y, '%' AS unit
FROM forecast JOIN measured
ON forecast.site = measured.site AND forecast.device = measured.device AND forecast.tag = measured.tag AND forecast.t = measured.t
GROUP BY date_trunc('day', forecast.t) ORDER BY x
