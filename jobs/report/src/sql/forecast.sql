WITH newest AS (
  SELECT *, row_number() OVER (PARTITION BY site, device, tag, target_time ORDER BY issued_at DESC) AS nth
  FROM predictions WHERE {series} AND target_time >= {from}
), chosen AS (
  SELECT site, device, tag FROM newest GROUP BY site, device, tag ORDER BY site, device, tag LIMIT 13
), both AS (
  SELECT site, device, tag, 'forecast' AS series, date_bin({bin}, target_time) AS x, avg(value) AS y, avg(lo) AS lo, avg(hi) AS hi
  FROM newest WHERE nth = 1 GROUP BY site, device, tag, date_bin({bin}, target_time)
  UNION ALL
  SELECT site, device, tag, 'measured' AS series, date_bin({bin}, event_time) AS x, avg(value) AS y,
    CAST(NULL AS DOUBLE) AS lo, CAST(NULL AS DOUBLE) AS hi
  FROM readings WHERE {series} AND quality < 2 AND value IS NOT NULL AND event_time >= {from} AND event_time < {to}
  GROUP BY site, device, tag, date_bin({bin}, event_time)
)
SELECT both.device || ' · ' || both.tag AS facet, series, x, y, lo, hi
FROM both JOIN chosen ON both.site = chosen.site AND both.device = chosen.device AND both.tag = chosen.tag
ORDER BY facet, series DESC, x
