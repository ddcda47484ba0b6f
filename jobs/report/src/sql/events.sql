WITH latest AS (
  SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY changed_at DESC) AS nth
  FROM events WHERE {devices}
)
SELECT device, tag, kind, severity, from_time, to_time, value, text
FROM latest WHERE nth = 1 AND from_time < {to} AND coalesce(to_time, {to}) >= {from}
ORDER BY from_time DESC, device, tag, kind
