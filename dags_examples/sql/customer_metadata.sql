-- The customers of the conversations that ended in the data interval of the run: a row for each customer in each
-- conversation, a column for each field of ASAPP. A column finds its field in any case, with or without underscores; a
-- NULL is left out. Which conversations, and why the times stand in the text: see conversation_metadata.sql.
{%- set ends = data_interval_end | default(dag_run.run_after) %}
{%- set begins = data_interval_start | default(ends - macros.timedelta(days=1)) %}
SELECT
    c.chat_id AS external_conversation_id,
    p.customer_id AS external_customer_id,
    REPLACE(k.status, ' ', '-') AS status,      -- ASAPP takes no spaces here
    k.PHONE AS phone_number,                    -- spaces in it are left out
    NULLIF(k.EMAIL, '') AS email_address,
    k.login AS user_id,
    k.COUNTRY AS address_country,
    k.STATE AS address_state,
    k.ZIP AS address_zipcode
FROM conversations c
JOIN participants p ON p.conversation_key = c.conversation_key
JOIN customers k ON k.customer_id = p.customer_id
WHERE c.ended_at >= '{{ begins.strftime("%Y-%m-%d %H:%M:%S") }}'
  AND c.ended_at < '{{ ends.strftime("%Y-%m-%d %H:%M:%S") }}'
-- The same order each time: only then can a retry go on where the try before it stopped.
ORDER BY c.ended_at, c.conversation_key, p.customer_id
