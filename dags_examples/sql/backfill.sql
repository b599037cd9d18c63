-- The conversations that ended on one day of a backfill: the columns of sql/conversation_metadata.sql, other days.
--
-- :day and :next_day come from the task, in the style of the database's driver: for Postgres, MySQL or Snowflake write
-- %(day)s and %(next_day)s. An index (or partitions) by ended_at lets each task read its day alone; without, each reads
-- the whole table.
SELECT
    c.chat_id AS external_conversation_id,
    -- No event_id: the provider derives one from the run and the record, so that a retry sends the same id again.
    c.lob_id,
    l.LOB_NAME,
    c.group_id,
    g.group_name,
    c.routing_code AS agent_routing_code,
    COALESCE(p.campaign_code, c.utm_campaign) AS campaign,
    CASE d.DEVICE WHEN 'smartphone' THEN 'PHONE' WHEN 'pc' THEN 'DESKTOP' ELSE d.DEVICE END AS device_type,
    c.channel AS platform,
    a.SEGMENTS AS company_segment,           -- JSON text: ["Sales", "Marketing"]
    c.office AS company_subdivision,
    p.business_rule,
    CASE c.opened_by WHEN 'customer' THEN 'reactive' WHEN 'agent' THEN 'proactive' END AS entry_type,
    d.OS AS operating_system,
    NULLIF(d.BROWSER, '') AS browser_type,   -- ASAPP takes no empty text
    d.BROWSER_VERSION,
    c.context AS attributes                  -- JSON text: {"csat": 4, "language": "en"}, at most 10 entries
FROM conversations c
LEFT JOIN LINES_OF_BUSINESS l ON l.LOB_ID = c.lob_id
LEFT JOIN agent_groups g ON g.group_id = c.group_id
LEFT JOIN campaigns p ON p.campaign_id = c.campaign_id
LEFT JOIN accounts a ON a.account_id = c.account_id
LEFT JOIN DEVICES d ON d.DEVICE_ID = c.device_id
WHERE c.ended_at >= :day
  AND c.ended_at < :next_day
-- The same order each time: only then can a retry go on where the try before it stopped.
ORDER BY c.ended_at, c.conversation_key
