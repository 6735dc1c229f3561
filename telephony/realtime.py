"""What Asterisk reads from the database: views over the table `agent`, for SQLite and PostgreSQL.

An agent in the table can sign in at once, others cannot, without any reload:
Asterisk looks here when a phone registers or is called (`asterisk-conf/sorcery.conf`). The migration
creates these views; a later one that changes a view drops it and creates it again from here.

Asterisk takes every value as text and every column as an option of that name: a column that it does
not know makes the whole row invalid.
"""

# DYNAMIC_FEATURES: only an agent's phone, no caller's, has the key of asterisk-conf/features.conf.
_PHONES = """
CREATE VIEW {view} AS
SELECT
    number AS id,
    number AS aors,
    number AS auth,
    'agents' AS context,
    'nothing' AS message_context,
    '<' || number || '>' AS callerid,
    'username' AS identify_by,
    'all' AS disallow,
    'alaw,ulaw' AS allow,
    'no' AS direct_media,
    'yes' AS rtp_symmetric,
    'yes' AS force_rport,
    'yes' AS rewrite_contact,
    'auto' AS dtmf_mode,
    'ef' AS tos_audio,
    'zh' AS language,
    'no' AS trust_id_inbound,
    'no' AS allow_subscribe,
    'yes' AS allow_transfer,
    '1' AS device_state_busy_at,
    '15' AS rtp_keepalive,
    'always' AS timers,
    '90' AS timers_min_se,
    '90' AS timers_sess_expires,
    'DYNAMIC_FEATURES=silent' AS set_var{more}
FROM agent
"""

# The same phones for the setting phones_tls: sorcery.conf says which of the views Asterisk reads. An INVITE without
# SRTP is refused (488), and one to a phone without TLS is not sent.
_MAY_USE_SRTP = """,
    'sdes' AS media_encryption,
    'yes' AS media_encryption_optimistic"""
_MUST_USE_TLS = """,
    'transport-tls' AS transport,
    'sdes' AS media_encryption"""

# The realm is agents.signin.SIP_REALM: the stored hash contains it.
_PASSWORDS = """
CREATE VIEW ps_auths AS
SELECT
    number AS id,
    'md5' AS auth_type,
    number AS username,
    md5_cred AS md5_cred,
    'hotline' AS realm
FROM agent
"""

# One phone for each agent, and the last one to sign in wins. A phone that died without a word is
# asked every 30 seconds and is unreachable 3 seconds later.
_REGISTRATIONS = """
CREATE VIEW ps_aors AS
SELECT
    number AS id,
    '1' AS max_contacts,
    'yes' AS remove_existing,
    '30' AS qualify_frequency,
    '3.0' AS qualify_timeout,
    '30' AS minimum_expiration,
    '120' AS default_expiration,
    '600' AS maximum_expiration
FROM agent
"""

# While no controller answers, calls go to the agents who had asked for them, and to those in a pause when
# nobody had; an agent who signed out is left alone.
_FALLBACK = """
CREATE VIEW queue_members AS
SELECT
    number AS uniqueid,
    'fallback' AS queue_name,
    'PJSIP/' || number AS interface,
    number AS membername,
    'PJSIP/' || number AS state_interface,
    '0' AS penalty,
    '0' AS paused,
    '' AS reason_paused,
    'no' AS ringinuse
FROM agent
WHERE intent = 'ready'
OR (intent = 'paused' AND NOT EXISTS (SELECT 1 FROM agent WHERE intent = 'ready'))
"""

# Where an agent's phone may transfer a citizen to. A number is used as it stands here, never as it was dialled.
_TARGETS = """
CREATE VIEW transfer_targets AS
SELECT
    number AS exten,
    'transfer' AS context,
    '1' AS priority,
    'Goto' AS app,
    'hotline-transfer,' || number || ',1' AS appdata
FROM agent
"""

VIEWS: dict[str, str] = {
    "ps_endpoints": _PHONES.strip().format(view="ps_endpoints", more=""),
    "ps_endpoints_srtp": _PHONES.strip().format(view="ps_endpoints_srtp", more=_MAY_USE_SRTP),
    "ps_endpoints_tls": _PHONES.strip().format(view="ps_endpoints_tls", more=_MUST_USE_TLS),
    "ps_auths": _PASSWORDS.strip(),
    "ps_aors": _REGISTRATIONS.strip(),
    "queue_members": _FALLBACK.strip(),
    "transfer_targets": _TARGETS.strip(),
}
"""Name of the view → its `CREATE VIEW` statement, in the order in which to execute them."""
