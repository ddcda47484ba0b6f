WITH chosen AS (
  SELECT job, device, max(score / nullif("limit", 0)) AS worst FROM scores
  WHERE {devices} AND event_time >= {from} AND event_time <= {to}
  GROUP BY job, device ORDER BY worst DESC, device LIMIT 13
)
SELECT scores.device || ' · ' || scores.job AS facet, date_bin({bin}, event_time) AS x,
  max(score) AS score, max("limit") AS "limit"
FROM scores JOIN chosen ON scores.job = chosen.job AND scores.device = chosen.device
WHERE event_time >= {from} AND event_time <= {to}
GROUP BY scores.device, scores.job, chosen.worst, date_bin({bin}, event_time)
ORDER BY chosen.worst DESC, facet, x
