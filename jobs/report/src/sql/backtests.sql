WITH newest AS (
  SELECT *, row_number() OVER (PARTITION BY job, site, device, tag, metric, segment ORDER BY to_time DESC, run_id DESC) AS nth
  FROM backtests WHERE device IS NULL OR {devices}
)
SELECT job, device, tag, metric, segment, value, baseline, baseline_name, n AS judged, version
FROM newest WHERE nth = 1
ORDER BY job, device, tag, metric, segment
