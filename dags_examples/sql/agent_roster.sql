-- The agents as they are now: a row for each, a column for each field of ASAPP. A column finds its field in any case,
-- with or without underscores; a NULL is left out.
--
-- ASAPP takes records and removes none. So whoever has left stays in the result for some weeks and says so, or
-- their last record at ASAPP would go on claiming that they work here.
{%- set since = data_interval_end | default(dag_run.run_after) - macros.timedelta(days=30) %}
SELECT
    a.AGENT_ID AS external_agent_id,
    a.STARTED_AT || 'Z' AS start_ts,            -- the warehouse's times are UTC, and ASAPP wants to read that
    a.lob_id,
    l.LOB_NAME,
    a.group_id,
    g.group_name,
    a.NAME AS agent_name,
    a.SITE AS agent_location,
    a.SUPERVISOR_ID,
    s.NAME AS supervisor_name,
    a.LANGUAGES,                                -- JSON text: ["en", "de"]; or one plain word
    a.MAX_CHATS AS concurrency,
    a.EMPLOYER AS vendor,
    REPLACE(a.TITLE, ' ', '-') AS job_title,    -- ASAPP takes no spaces here
    a.SHIFT AS work_shift,
    a.EMAIL AS email_address,
    CASE WHEN a.LEFT_AT IS NULL THEN '{"employment": "active"}' ELSE '{"employment": "left"}' END AS attributes
FROM AGENTS a
LEFT JOIN AGENTS s ON s.AGENT_ID = a.SUPERVISOR_ID
LEFT JOIN LINES_OF_BUSINESS l ON l.LOB_ID = a.lob_id
LEFT JOIN agent_groups g ON g.group_id = a.group_id
WHERE a.LEFT_AT IS NULL OR a.LEFT_AT >= '{{ since.strftime("%Y-%m-%d %H:%M:%S") }}'
-- The same order each time: only then can a retry go on where the try before it stopped.
ORDER BY a.AGENT_ID
