SELECT job, kind, count(*) AS runs,
  sum(CASE WHEN state = 'succeeded' THEN 0 ELSE 1 END) AS failed,
  sum(rows_written) AS rows_written, max(finished_at) AS last_run
FROM job_runs WHERE finished_at >= {now} - {range}
GROUP BY job, kind ORDER BY job
