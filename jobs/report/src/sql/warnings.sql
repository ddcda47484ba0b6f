WITH latest AS (
  SELECT *, row_number() OVER (PARTITION BY alert_id ORDER BY changed_at DESC) AS nth
  FROM alerts WHERE {devices}
)
SELECT device, tag, severity, state, first_seen, last_seen, reason
FROM latest WHERE nth = 1 AND last_seen >= {from}
ORDER BY last_seen DESC, device, tag
