"""Agents' phones may transfer (SIP REFER): to an agent, who is in the view `transfer_targets`.

The SQL of the views is written out here: a version is history (see 0001).
"""

from alembic import op

revision = "0007"
down_revision = "0006"

_PHONES = """
CREATE VIEW ps_endpoints AS
SELECT
    number AS id,
    number AS aors,
    number AS auth,
    'agents' AS context,
    '<' || number || '>' AS callerid,
    'username' AS identify_by,
    'all' AS disallow,
    'alaw,ulaw' AS allow,
    'no' AS direct_media,
    'yes' AS rtp_symmetric,
    'yes' AS force_rport,
    'yes' AS rewrite_contact,
    'rfc4733' AS dtmf_mode,
    'ef' AS tos_audio,
    'zh' AS language,
    'no' AS trust_id_inbound,
    'no' AS allow_subscribe,
    'yes' AS allow_transfer,
    '1' AS device_state_busy_at,
    '15' AS rtp_keepalive,
    '120' AS rtp_timeout,
    '3600' AS rtp_timeout_hold,
    'DYNAMIC_FEATURES=silent' AS set_var
FROM agent
"""

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


def upgrade() -> None:
    """Make the view of the agents' phones again, and the view of the numbers that a citizen may be transferred to."""
    op.execute("DROP VIEW ps_endpoints")
    op.execute(_PHONES.strip())
    op.execute(_TARGETS.strip())
