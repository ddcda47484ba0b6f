SELECT job, model_version, count(DISTINCT issued_at) AS forecasts, min(issued_at) AS first_issued, max(issued_at) AS last_issued,
  max(level) AS level
FROM predictions WHERE {series} AND issued_at >= {from} GROUP BY job, model_version ORDER BY last_issued DESC
