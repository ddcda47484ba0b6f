WITH newest AS (
  SELECT *, row_number() OVER (PARTITION BY site, device, tag, target_time ORDER BY issued_at DESC) AS nth
  FROM predictions WHERE {series} AND target_time >= {from}
), forecast AS (
  SELECT site, device, tag, date_bin({bin}, target_time) AS t, avg(value) AS value
  FROM newest WHERE nth = 1 GROUP BY site, device, tag, date_bin({bin}, target_time)
), measured AS (
  SELECT site, device, tag, date_bin({bin}, event_time) AS t, avg(value) AS value
  FROM readings WHERE {series} AND quality < 2 AND value IS NOT NULL AND event_time >= {from} AND event_time < {to}
  GROUP BY site, device, tag, date_bin({bin}, event_time)
), both AS (
  SELECT forecast.value AS f, measured.value AS m FROM forecast JOIN measured
  ON forecast.site = measured.site AND forecast.device = measured.device AND forecast.tag = measured.tag AND forecast.t = measured.t
)
SELECT (SELECT count(DISTINCT device || tag) FROM forecast) AS series_forecast,
  round(100.0 * sum(abs(f - m)) / nullif(sum(abs(m)), 0), 2) AS absolute_error_percent,
  round(100.0 * sum(f - m) / nullif(sum(abs(m)), 0), 2) AS mean_error_percent,
  count(*) AS times_compared
FROM both
